package zenml

import (
	"fmt"
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
