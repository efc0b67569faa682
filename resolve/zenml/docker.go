package zenml

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A Var is an environment variable, in the order of the file.
type Var struct{ Name, Value string }

// An Arg is an argument of a package installer: "--name=value", or "--name" if
// it has none.
type Arg struct {
	Name, Value string
	HasValue    bool
}

// Docker are the settings with the key "docker" (ZenML's DockerSettings), of a
// pipeline or of one of its steps. Absent keys have ZenML's defaults.
type Docker struct {
	ParentImage string
	ImageTag    string
	Repository  string // target_repository

	Dockerfile  string // of the user's own; relative to where the user is
	ContextRoot string // build_context_root
	ParentBuild BuildConfig
	Build       BuildConfig
	OldOptions  []NamedValue // build_options, which parent_image_build_config took the place of
	Skip        bool         // skip_build
	NoReuse     bool         // prevent_build_reuse

	Requirements     []string // a list of them
	RequirementsFile string   // or the path of a file with them
	Pyproject        string   // pyproject_path
	PyprojectCommand []string
	Integrations     []string
	StackPackages    bool // install_stack_requirements
	ServerPackages   bool // install_deployment_requirements
	Detect           bool // the opposite of disable_automatic_requirements_detection
	Replicate        string
	ReplicateDefault bool // Replicate is ZenML's own "pip freeze"
	Apt              []string

	Environment []Var // names upper-cased, values as Python's str() makes them
	Runtime     []Var
	User        string

	Installer      string // empty is that of the version
	InstallerArgs  []Arg
	CacheMount     string
	ProjectCommand string // local_project_install_command

	Include            bool // allow_including_files_in_images
	DownloadRepository bool // allow_download_from_code_repository
	DownloadStore      bool // allow_download_from_artifact_store

	// Warnings are about the settings themselves, and say where they stand.
	Warnings []string

	settings settings
	lines    map[string]int // where keys stand
	values   map[string]any // what Python would have of what is kept as text here
	exact    map[string]any // the same of values of any type, to compare
}

// A BuildConfig says how an image is built.
type BuildConfig struct {
	Dockerignore string
	Options      []NamedValue // in ZenML's order, without nulls
	given        bool
	hasOptions   bool
}

// Defaults are the settings of who says nothing.
func Defaults() Docker {
	return Docker{
		StackPackages: true, ServerPackages: true, Include: true, DownloadRepository: true, DownloadStore: true,
		lines: map[string]int{}, values: map[string]any{}, exact: map[string]any{}, settings: settings{path: "settings.docker"},
	}
}

// Dockerignore is the ignore file for the image, with the key that names it.
func (d Docker) Dockerignore() (file, key string) {
	if d.Build.Dockerignore != "" {
		return d.Build.Dockerignore, "build_config.dockerignore"
	}
	if s, ok := d.values["dockerignore"].(string); ok {
		return s, "dockerignore"
	}
	return "", ""
}

// Line returns where a key stands, as the beginning of an error.
func (d Docker) Line(key string) *Error { return &Error{File: d.settings.file, Line: d.lines[key]} }

// Errorf is an error about a key.
func (d Docker) Errorf(key, advice, format string, args ...any) *Error {
	e := d.Line(key)
	e.Msg, e.Advice = d.Path(key)+": "+fmt.Sprintf(format, args...), advice
	return e
}

// Warnf is a warning about a key.
func (d Docker) Warnf(key, format string, args ...any) string {
	return d.Errorf(key, "", format, args...).Error()
}

// Path is what a key is called in a run configuration.
func (d Docker) Path(key string) string { return d.settings.path + "." + key }

// EmptyFile says whether the path of the file of requirements is given, and is
// empty.
func (d Docker) EmptyFile() bool {
	s, ok := d.values["requirements"].(string)
	return ok && s == ""
}

// Has says whether a key was given.
func (d Docker) Has(key string) bool {
	_, ok := d.lines[key]
	return ok
}

// settingsKey reads the value of one key, which is not null.
type settingsKey func(r *dockerReader, n *yaml.Node, key string) error

// dockerReader fills a Docker.
type dockerReader struct {
	settings
	d *Docker
}

// optional are the keys that may be null.
var optional = []string{ //nolint:gochecknoglobals // a constant table
	"parent_image", "image_tag", "dockerfile", "build_context_root", "parent_image_build_config", "target_repository", "requirements",
	"python_package_installer_cache_mount", "replicate_local_python_environment", "pyproject_path", "pyproject_export_command",
	"local_project_install_command", "user", "build_config", "dockerignore", "source_files",
}

// dockerKeys are all the keys.
func dockerKeys() map[string]settingsKey {
	return map[string]settingsKey{
		"parent_image":                             text(func(d *Docker) *string { return &d.ParentImage }),
		"image_tag":                                text(func(d *Docker) *string { return &d.ImageTag }),
		"target_repository":                        text(func(d *Docker) *string { return &d.Repository }),
		"dockerfile":                               text(func(d *Docker) *string { return &d.Dockerfile }),
		"build_context_root":                       text(func(d *Docker) *string { return &d.ContextRoot }),
		"parent_image_build_config":                buildConfig(func(d *Docker) *BuildConfig { return &d.ParentBuild }),
		"build_config":                             buildConfig(func(d *Docker) *BuildConfig { return &d.Build }),
		"skip_build":                               truth(func(d *Docker) *bool { return &d.Skip }),
		"prevent_build_reuse":                      truth(func(d *Docker) *bool { return &d.NoReuse }),
		"requirements":                             (*dockerReader).requirements,
		"pyproject_path":                           text(func(d *Docker) *string { return &d.Pyproject }),
		"pyproject_export_command":                 texts(func(d *Docker) *[]string { return &d.PyprojectCommand }),
		"required_integrations":                    texts(func(d *Docker) *[]string { return &d.Integrations }),
		"install_stack_requirements":               truth(func(d *Docker) *bool { return &d.StackPackages }),
		"install_deployment_requirements":          truth(func(d *Docker) *bool { return &d.ServerPackages }),
		"disable_automatic_requirements_detection": (*dockerReader).detection,
		"replicate_local_python_environment":       (*dockerReader).replicate,
		"apt_packages":                             texts(func(d *Docker) *[]string { return &d.Apt }),
		"environment":                              vars(func(d *Docker) *[]Var { return &d.Environment }),
		"runtime_environment":                      vars(func(d *Docker) *[]Var { return &d.Runtime }),
		"user":                                     text(func(d *Docker) *string { return &d.User }),
		"python_package_installer":                 (*dockerReader).installer,
		"python_package_installer_args":            (*dockerReader).installerArgs,
		"python_package_installer_cache_mount":     text(func(d *Docker) *string { return &d.CacheMount }),
		"local_project_install_command":            text(func(d *Docker) *string { return &d.ProjectCommand }),
		"allow_including_files_in_images":          truth(func(d *Docker) *bool { return &d.Include }),
		"allow_download_from_code_repository":      truth(func(d *Docker) *bool { return &d.DownloadRepository }),
		"allow_download_from_artifact_store":       truth(func(d *Docker) *bool { return &d.DownloadStore }),
		"source_files":                             (*dockerReader).sourceFiles,
		"dockerignore":                             (*dockerReader).old,
		"build_options":                            (*dockerReader).old,
		"copy_files":                               (*dockerReader).old,
		"copy_global_config":                       (*dockerReader).old,
		"required_hub_plugins":                     (*dockerReader).old,
	}
}

func text(to func(*Docker) *string) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) (err error) {
		*to(r.d), err = r.text(n, r.name(key))
		r.d.values[key] = *to(r.d)
		return err
	}
}

func texts(to func(*Docker) *[]string) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) (err error) {
		*to(r.d), err = r.texts(n, r.name(key))
		r.d.values[key] = *to(r.d)
		return err
	}
}

func truth(to func(*Docker) *bool) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) (err error) {
		*to(r.d), err = r.truth(n, r.name(key))
		r.d.values[key] = *to(r.d)
		return err
	}
}

// name is the full path of a key.
func (r *dockerReader) name(key string) string { return r.path + "." + key }

// vars reads a mapping of variables. Names are upper-cased and values are what
// Python's str() makes of them, as ZenML writes them into its Dockerfile.
func vars(to func(*Docker) *[]Var) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) error {
		list, err := r.named(n, key)
		for _, v := range list {
			x := Var{pyUpper(v.Name), v.Value.String()}
			*to(r.d) = append(*to(r.d), x)
		}
		r.d.values[key], r.d.exact[key] = plainMap(list), comparableMap(list)
		return err
	}
}

// named reads a mapping from strings to anything.
func (r *dockerReader) named(n *yaml.Node, key string) ([]NamedValue, error) {
	if isNull(n) {
		return nil, r.wrongType(n, r.name(key), "a mapping")
	}
	pairs, err := r.mapping(n, r.name(key))
	var list []NamedValue
	for _, p := range pairs {
		if _, ok := scalar(p.key).(string); !ok {
			return nil, r.wrongType(p.key, "a key of "+r.name(key), "a string")
		}
		list = append(list, NamedValue{p.key.Value, Value{p.value}})
	}
	return list, err
}

func (r *dockerReader) requirements(n *yaml.Node, key string) (err error) {
	if n.Kind == yaml.SequenceNode {
		r.d.Requirements, err = r.texts(n, r.name(key))
		r.d.values[key] = r.d.Requirements
		return err
	}
	if s, ok := scalar(n).(string); ok && n.Kind == yaml.ScalarNode {
		r.d.RequirementsFile, r.d.values[key] = s, s
		return nil
	}
	return r.wrongType(n, r.name(key), "a list of requirements or the path of a file")
}

func (r *dockerReader) detection(n *yaml.Node, key string) error {
	off, err := r.truth(n, r.name(key))
	r.d.Detect, r.d.values[key] = !off, off
	return err
}

// exportCommands are ZenML's names for ways to list what is installed.
var exportCommands = map[string]string{ //nolint:gochecknoglobals // a constant table
	"pip_freeze": "pip freeze", "poetry_export": "poetry export --format=requirements.txt", "uv_freeze": "uv pip freeze",
}

func (r *dockerReader) replicate(n *yaml.Node, key string) error {
	if n.Kind == yaml.SequenceNode {
		words, err := r.texts(n, r.name(key))
		r.d.Replicate = strings.Join(words, " ")
		r.d.values[key] = words
		r.oldCommand(key)
		return err
	}
	if s, ok := scalar(n).(string); ok {
		if c, ok := exportCommands[s]; ok && n.Kind == yaml.ScalarNode {
			r.d.Replicate, r.d.ReplicateDefault = c, s == "pip_freeze"
			r.d.values[key] = s
			r.oldCommand(key)
			return nil
		}
	}
	on, err := r.truth(n, r.name(key))
	if err != nil {
		return r.wrongType(n, r.name(key),
			"true, false, a list of words of a command, or one of "+strings.Join(slices.Sorted(maps.Keys(exportCommands)), ", "))
	}
	r.d.values[key] = on
	if on {
		r.d.Replicate, r.d.ReplicateDefault = exportCommands["pip_freeze"], true
	}
	return nil
}

func (r *dockerReader) oldCommand(key string) {
	r.warnf(key, "commands are deprecated: true replicates the environment, pyproject_path exports a pyproject.toml")
}

func (r *dockerReader) warnf(key, format string, args ...any) {
	r.d.Warnings = append(r.d.Warnings, r.d.Warnf(key, format, args...))
}

func (r *dockerReader) installer(n *yaml.Node, key string) error {
	if s, ok := scalar(n).(string); ok && n.Kind == yaml.ScalarNode && (s == Pip || s == UV) {
		r.d.Installer, r.d.values[key] = s, s
		return nil
	}
	return r.wrongType(n, r.name(key), `"pip" or "uv"`)
}

func (r *dockerReader) installerArgs(n *yaml.Node, key string) error {
	list, err := r.named(n, key)
	for _, v := range list {
		a := Arg{Name: v.Name}
		if !v.Value.IsNull() {
			a.Value, a.HasValue = v.Value.String(), true
		}
		r.d.InstallerArgs = append(r.d.InstallerArgs, a)
	}
	r.d.values[key], r.d.exact[key] = plainMap(list), comparableMap(list)
	return err
}

// buildOptions are the options that ZenML knows, in its order; it takes others
// as they are.
var buildOptions = []string{"pull", "rm", "no_cache", "shm_size", "labels", "build_args", "cache_from"} //nolint:gochecknoglobals // a constant table

func buildConfig(to func(*Docker) *BuildConfig) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) error {
		c := to(r.d)
		c.given = true
		pairs, err := r.mapping(n, r.name(key))
		for _, p := range pairs {
			switch name := key + "." + p.key.Value; p.key.Value {
			case "dockerignore":
				if c.Dockerignore, err = r.textOrNull(p.value, r.name(name)); err != nil {
					return err
				}
				r.d.lines[name] = p.key.Line
			case "build_options":
				if isNull(p.value) {
					continue
				}
				c.hasOptions = true
				r.d.lines[name] = p.key.Line
				if err := r.options(c, p.value, name); err != nil {
					return err
				}
			default:
				r.unknown(p.key, key+".", []string{"dockerignore", "build_options"})
			}
		}
		return err
	}
}

// options reads build options.
func (r *dockerReader) options(c *BuildConfig, n *yaml.Node, key string) error {
	list, err := r.named(n, key)
	if err != nil {
		return err
	}
	at := func(o NamedValue) int {
		if i := slices.Index(buildOptions, o.Name); i >= 0 {
			return i
		}
		return len(buildOptions)
	}
	for i, o := range list {
		if list[i].Value, err = r.option(o, key+"."+o.Name); err != nil {
			return err
		}
	}
	slices.SortStableFunc(list, func(a, b NamedValue) int { return at(a) - at(b) })
	c.Options = list
	return nil
}

// option checks an option that has a type.
func (r *dockerReader) option(o NamedValue, key string) (Value, error) {
	n, name := deref(o.Value.node), r.name(key)
	if isNull(n) {
		return o.Value, nil
	}
	var err error
	switch o.Name {
	case "pull", "rm", "no_cache":
		var b bool
		if b, err = r.truth(n, name); err == nil {
			return Value{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(b), Line: n.Line}}, nil
		}
	case "shm_size":
		if digits, ok := wholeNumber(n); ok {
			return Value{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: digits, Line: n.Line}}, nil
		}
		err = r.wrongType(n, name, "a number of bytes")
	case "labels", "build_args":
		_, err = r.named(n, key)
	case "cache_from":
		_, err = r.texts(n, name)
	}
	return o.Value, err
}

// wholeNumber is what pydantic takes for one, also text and a float, as digits.
func wholeNumber(n *yaml.Node) (digits string, ok bool) {
	switch v := scalar(n).(type) {
	case int64, *big.Int:
		return fmt.Sprint(v), true
	case bool:
		return map[bool]string{false: "0", true: "1"}[v], true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), v == math.Trunc(v) && math.Abs(v) < 1<<63
	case string:
		digits, zeros, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(v), "_", ""), ".")
		i, ok := new(big.Int).SetString(digits, 10)
		return fmt.Sprint(i), ok && n.Kind == yaml.ScalarNode && strings.Trim(zeros, "0") == ""
	}
	return "", false
}

// sourceFiles reads the key that the allow_* keys took the place of; what it
// meant stands in those by now.
func (r *dockerReader) sourceFiles(n *yaml.Node, key string) error {
	s, err := r.text(n, r.name(key))
	if err != nil {
		return err
	}
	r.d.values[key] = s
	if !slices.Contains([]string{"download", "include", "download_or_include", "ignore"}, s) && !r.d.Has(migrateKeys[0]) {
		return r.wrongType(n, r.name(key), "one of download, include, download_or_include, ignore")
	}
	r.warnf(key, "deprecated: %s took its place, and win over it", strings.Join(migrateKeys, ", "))
	return nil
}

// old reads a key that ZenML deprecates. Only dockerignore still says
// something.
func (r *dockerReader) old(n *yaml.Node, key string) (err error) {
	switch key {
	case "dockerignore":
		r.d.values[key], err = r.text(n, r.name(key))
	case "build_options":
		var list []NamedValue
		list, err = r.named(n, key)
		r.d.values[key], r.d.exact[key] = plainMap(list), comparableMap(list)
		r.d.OldOptions = list
	case "required_hub_plugins":
		r.d.values[key], err = r.texts(n, r.name(key))
	default:
		r.d.values[key], err = r.truth(n, r.name(key))
	}
	switch key {
	case "dockerignore":
		r.warnf(key, "deprecated: build_config.dockerignore took its place")
	case "build_options":
		r.warnf(key, "deprecated: parent_image_build_config.build_options took its place")
	default:
		r.warnf(key, "deprecated, and without effect")
	}
	return err
}

// unknown notes a key that ZenML does not know.
func (r *dockerReader) unknown(key *yaml.Node, prefix string, known []string) {
	d := r.d
	d.lines[prefix+key.Value] = key.Line
	if n := nearest(key.Value, known); n != "" {
		r.warnf(prefix+key.Value, "unknown key, ignored (did you mean %s?)", n)
		return
	}
	r.warnf(prefix+key.Value, "unknown key, ignored")
}

// read reads settings that are migrated and merged. Before 0.82 an unknown key
// is an error.
func (s settings) read(f Facts) (Docker, error) {
	d := Defaults()
	d.settings = s
	r := &dockerReader{s, &d}
	pairs, err := s.mapping(s.node, s.path)
	if err != nil {
		return d, err
	}
	keys := dockerKeys()
	for _, p := range pairs {
		d.lines[p.key.Value] = max(p.key.Line, d.lines[p.key.Value])
	}
	for _, p := range pairs {
		key := p.key.Value
		read, ok := keys[key]
		since, later := keysSince[key]
		switch {
		case !ok, later && f.AtLeast("0.20.0") && !f.AtLeast(since): // before, settings were Python's alone
			if !f.IgnoresUnknownKeys {
				return d, r.refused(p.key, since, slices.Collect(maps.Keys(keys)))
			}
			if since != "" {
				r.warnf(key, "the key exists from ZenML %s on, ignored", since)
			} else {
				r.unknown(p.key, "", slices.Collect(maps.Keys(keys)))
			}
			delete(d.lines, key)
		case isNull(p.value) && slices.Contains(optional, key):
			d.values[key] = nil
		default:
			if err := read(r, p.value, key); err != nil {
				return d, err
			}
		}
	}
	return d, d.check()
}

// refused is the error for a key that the version does not know.
func (r *dockerReader) refused(key *yaml.Node, since string, known []string) error {
	e := r.errorf(key, "%s: unknown key %s", r.path, key.Value)
	if since != "" {
		e.Msg = fmt.Sprintf("%s: the key %s exists from ZenML %s on", r.path, key.Value, since)
	} else if n := nearest(key.Value, known); n != "" {
		e.Advice = fmt.Sprintf("did you mean %s?", n)
	} else {
		e.Advice = "the keys are those of ZenML's DockerSettings"
	}
	return e
}

// check refuses what ZenML refuses.
func (d Docker) check() error {
	if d.ProjectCommand != "" && !d.Include {
		return d.Errorf("local_project_install_command", "leave one of the two out", "needs allow_including_files_in_images")
	}
	if d.Skip && d.ParentImage == "" {
		return d.Errorf("skip_build", "parent_image is the image that is used then", "needs a parent_image")
	}
	return nil
}
