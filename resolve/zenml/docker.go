package zenml

import (
	"fmt"
	"maps"
	"slices"
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

// Docker are the settings with the key "docker" (ZenML's DockerSettings), as a
// run configuration has them. Absent keys have ZenML's defaults.
type Docker struct {
	ParentImage      string
	Requirements     []string // a list of them
	RequirementsFile string   // or the path of a file with them
	Integrations     []string
	StackPackages    bool   // install_stack_requirements
	Replicate        string // a shell command that prints requirements; empty runs none
	ReplicateDefault bool   // it is ZenML's own "pip freeze"
	Apt              []string
	Environment      []Var
	Runtime          []Var
	User             string
	Installer        string // empty is that of the version
	InstallerArgs    []Arg
	ProjectCommand   string // local_project_install_command
	Dockerignore     string
	Include          bool // allow_including_files_in_images
	ImageTag         string
	Repository       string // target_repository

	lines map[string]int // where keys stand
	file  string
}

// Line returns where a key stands, as the beginning of an error.
func (d Docker) Line(key string) *Error { return &Error{File: d.file, Line: d.lines[key]} }

// Errorf is an error about a key.
func (d Docker) Errorf(key, advice, format string, args ...any) *Error {
	e := d.Line(key)
	e.Msg, e.Advice = fmt.Sprintf(format, args...), advice
	return e
}

// Has says whether a key was given.
func (d Docker) Has(key string) bool { return d.lines[key] != 0 }

// settingsKey reads one key.
type settingsKey func(r *dockerReader, n *yaml.Node, key string) error

// dockerReader fills a Docker.
type dockerReader struct {
	document
	d *Docker
}

// dockerKeys are the keys that are carried out.
func dockerKeys() map[string]settingsKey {
	return map[string]settingsKey{
		"parent_image":                        text(func(d *Docker) *string { return &d.ParentImage }),
		"image_tag":                           text(func(d *Docker) *string { return &d.ImageTag }),
		"target_repository":                   text(func(d *Docker) *string { return &d.Repository }),
		"user":                                text(func(d *Docker) *string { return &d.User }),
		"local_project_install_command":       text(func(d *Docker) *string { return &d.ProjectCommand }),
		"dockerignore":                        text(func(d *Docker) *string { return &d.Dockerignore }),
		"required_integrations":               texts(func(d *Docker) *[]string { return &d.Integrations }),
		"apt_packages":                        texts(func(d *Docker) *[]string { return &d.Apt }),
		"install_stack_requirements":          truth(func(d *Docker) *bool { return &d.StackPackages }),
		"allow_including_files_in_images":     truth(func(d *Docker) *bool { return &d.Include }),
		"allow_download_from_artifact_store":  truth(nil), // what is in the image need not be downloaded
		"allow_download_from_code_repository": truth(nil),
		"requirements":                        (*dockerReader).requirements,
		"replicate_local_python_environment":  (*dockerReader).replicate,
		"environment":                         vars(func(d *Docker) *[]Var { return &d.Environment }),
		"runtime_environment":                 vars(func(d *Docker) *[]Var { return &d.Runtime }),
		"python_package_installer":            (*dockerReader).installer,
		"python_package_installer_args":       (*dockerReader).installerArgs,
		"build_config":                        (*dockerReader).buildConfig,
		"source_files":                        (*dockerReader).sourceFiles,
	}
}

// later are keys that exist and are not carried out yet: they are refused, so
// that none is ignored in silence.
var later = []string{ //nolint:gochecknoglobals // a constant table
	"dockerfile", "build_context_root", "parent_image_build_config", "build_options", "skip_build", "prevent_build_reuse",
	"disable_automatic_requirements_detection", "pyproject_path", "pyproject_export_command", "install_deployment_requirements",
	"python_package_installer_cache_mount", "copy_files", "copy_global_config", "required_hub_plugins",
}

func text(to func(*Docker) *string) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) (err error) {
		*to(r.d), err = r.text(n, key)
		return err
	}
}

func texts(to func(*Docker) *[]string) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) (err error) {
		*to(r.d), err = r.texts(n, key)
		return err
	}
}

func truth(to func(*Docker) *bool) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) error {
		v, err := r.truth(n, key)
		if err == nil && to != nil {
			*to(r.d) = v
		}
		return err
	}
}

// vars reads a mapping of variables. Names are upper-cased and values are what
// Python's str() makes of them, as ZenML writes them into its Dockerfile.
func vars(to func(*Docker) *[]Var) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) error {
		pairs, err := r.mapping(n, key)
		for _, p := range pairs {
			v := Var{strings.ToUpper(p.key.Value), pyStr(p.value)}
			if v.Name == "" || strings.ContainsAny(v.Name, "= \t\n\x00") {
				return r.errorf(p.key, "%s: %q is not the name of a variable", key, p.key.Value)
			}
			*to(r.d) = append(*to(r.d), v)
		}
		return err
	}
}

func (r *dockerReader) requirements(n *yaml.Node, key string) (err error) {
	if n.Kind == yaml.SequenceNode {
		r.d.Requirements, err = r.texts(n, key)
		return err
	}
	if s, ok := scalar(n).(string); ok && n.Kind == yaml.ScalarNode {
		r.d.RequirementsFile = s
		return nil
	}
	if n.Tag == "!!null" {
		return nil
	}
	e := r.wrongType(n, key, "a list of requirements or the path of a file")
	return e
}

// exportCommands are ZenML's names for ways to list what is installed.
var exportCommands = map[string]string{ //nolint:gochecknoglobals // a constant table
	"pip_freeze": "pip freeze", "poetry_export": "poetry export --format=requirements.txt", "uv_freeze": "uv pip freeze",
}

func (r *dockerReader) replicate(n *yaml.Node, key string) error {
	if n.Kind == yaml.SequenceNode {
		words, err := r.texts(n, key)
		r.d.Replicate = strings.Join(words, " ")
		return err
	}
	switch v := scalar(n).(type) {
	case nil:
		return nil
	case bool:
		if v {
			r.d.Replicate, r.d.ReplicateDefault = exportCommands["pip_freeze"], true
		}
		return nil
	case string:
		if c, ok := exportCommands[v]; ok && n.Kind == yaml.ScalarNode {
			r.d.Replicate, r.d.ReplicateDefault = c, v == "pip_freeze"
			return nil
		}
	}
	return r.wrongType(n, key, "true, false, a list of words of a command, or one of "+strings.Join(slices.Sorted(maps.Keys(exportCommands)), ", "))
}

func (r *dockerReader) installer(n *yaml.Node, key string) error {
	s, err := r.text(n, key)
	if err != nil || s == "" {
		return err
	}
	if s != Pip && s != UV {
		return r.wrongType(n, key, `"pip" or "uv"`)
	}
	r.d.Installer = s
	return nil
}

func (r *dockerReader) installerArgs(n *yaml.Node, key string) error {
	pairs, err := r.mapping(n, key)
	for _, p := range pairs {
		a := Arg{Name: p.key.Value}
		if scalar(p.value) != nil || p.value.Kind != yaml.ScalarNode {
			a.Value, a.HasValue = pyStr(p.value), true
		}
		r.d.InstallerArgs = append(r.d.InstallerArgs, a)
	}
	return err
}

func (r *dockerReader) buildConfig(n *yaml.Node, key string) error {
	pairs, err := r.mapping(n, key)
	for _, p := range pairs {
		switch p.key.Value {
		case "dockerignore":
			if r.d.Dockerignore, err = r.text(p.value, "build_config.dockerignore"); err != nil {
				return err
			}
			r.d.lines["dockerignore"] = p.key.Line
		case "build_options":
			if p.value.Tag != "!!null" && len(p.value.Content) > 0 {
				return r.notYet(p.key, "build_config.build_options")
			}
		default:
			return r.unknown(p.key, "build_config.", []string{"dockerignore", "build_options"})
		}
	}
	return err
}

// sourceFiles reads the key that the allow_* keys took the place of.
func (r *dockerReader) sourceFiles(n *yaml.Node, key string) error {
	s, err := r.text(n, key)
	if err != nil {
		return err
	}
	switch s {
	case "":
	case "download", "ignore":
		r.d.Include = false
	case "include", "download_or_include":
		r.d.Include = true
	default:
		return r.wrongType(n, key, "one of download, include, download_or_include, ignore")
	}
	return nil
}

func (r *dockerReader) notYet(key *yaml.Node, name string) error {
	e := r.errorf(key, "settings.docker: the key %s is not supported yet", name)
	e.Advice = "leave it out; kanso does not ignore a setting in silence"
	return e
}

func (r *dockerReader) unknown(key *yaml.Node, prefix string, known []string) error {
	e := r.errorf(key, "settings.docker: unknown key %s%s", prefix, key.Value)
	if n := nearest(key.Value, known); n != "" {
		e.Advice = fmt.Sprintf("did you mean %s%s?", prefix, n)
	} else {
		e.Advice = "the keys are those of ZenML's DockerSettings"
	}
	return e
}

// readDocker reads the settings with the key "docker".
func readDocker(doc document, n *yaml.Node) (Docker, error) {
	d := Docker{StackPackages: true, Include: true, lines: map[string]int{}, file: doc.file}
	r := &dockerReader{doc, &d}
	pairs, err := doc.mapping(n, "settings.docker")
	if err != nil {
		return d, err
	}
	keys := dockerKeys()
	for _, p := range pairs {
		key := p.key.Value
		read, ok := keys[key]
		switch {
		case ok:
			d.lines[key] = p.key.Line
			if p.value.Tag == "!!null" && p.value.Kind == yaml.ScalarNode {
				continue
			}
			if err := read(r, p.value, key); err != nil {
				return d, err
			}
		case slices.Contains(later, key):
			return d, r.notYet(p.key, key)
		default:
			return d, r.unknown(p.key, "", append(slices.Collect(maps.Keys(keys)), later...))
		}
	}
	return d, d.check()
}

// check refuses what ZenML refuses.
func (d Docker) check() error {
	if d.ProjectCommand != "" && !d.Include {
		return d.Errorf("local_project_install_command", "leave one of the two out",
			"local_project_install_command needs allow_including_files_in_images")
	}
	if strings.ContainsAny(d.Repository, " \t\n") {
		return d.Errorf("target_repository", "", "target_repository %q is not a name", d.Repository)
	}
	return nil
}
