package zenml

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

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
		r.d.values[key], r.d.exact[key] = plainMap(list), canonicalMap(list)
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
	r.d.values[key], r.d.exact[key] = plainMap(list), canonicalMap(list)
	return err
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
		r.d.values[key], r.d.exact[key] = plainMap(list), canonicalMap(list)
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
