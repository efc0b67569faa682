package zenml

import (
	"fmt"
	"strconv"
	"strings"
)

// Newest is the newest version of ZenML whose behaviour is known here.
const Newest = "0.98.0"

// The installers.
const (
	Pip = "pip"
	UV  = "uv"
)

// Facts are what a version of ZenML does, as far as it shows in images. The
// zero value is what 0.10 did.
type Facts struct {
	Version string
	// PythonTags says that the default base has one tag per Python version.
	PythonTags bool
	// RequirementFiles says that requirements are installed file by file; else
	// all in one command.
	RequirementFiles bool
	// UserLast says that the user's requirements are installed after those of
	// stack and integrations, which then have files of their own.
	UserLast bool
	// StackFiles says that ZenML copies the active stack into the image, as a
	// tree below .zenconfig.
	StackFiles bool
	// Timeout says that pip is given --default-timeout.
	Timeout bool
	// Installer is the one that is used if none is named.
	Installer string
	// KeepsZen says that ignore rules never drop .zen.
	KeepsZen bool
	// ImageTags says that the tag is made of pipeline and key; else it is the
	// pipeline alone. SanitizedTags says that it is cleaned.
	ImageTags, SanitizedTags bool
	// PacksDockerignore says that the .dockerignore file itself goes in.
	PacksDockerignore bool
	// LocalExtra says that a stack that runs on the local machine, with a
	// local store, needs the extra "local" of ZenML itself.
	LocalExtra bool
	// InitWarnings says that images are told not to warn of a missing
	// repository.
	InitWarnings bool
	// IgnoresUnknownKeys says that settings may have keys that do not exist.
	IgnoresUnknownKeys bool
	// StepSettings says that steps can have settings, and images, of their own.
	StepSettings bool
	// QuotesEnv says that values of variables stand in quotes in ZenML's
	// Dockerfile; else a blank ends them and dollar signs are expanded.
	QuotesEnv bool
	// UploadsCode says that code is left to the artifact store at run time
	// where it may be; else it is put in the image.
	UploadsCode bool
	// CodeVariable says that images whose code is downloaded are told so.
	CodeVariable bool
	// ColorVariable says that images are told whether to log in colours.
	ColorVariable bool
	// BuildArguments says that build arguments are declared in the Dockerfile.
	BuildArguments bool
	// SaysPull says that ZenML tells image builders whether the base is
	// pulled; ForcesPull, that it does whatever the options say.
	SaysPull, ForcesPull bool
	// Deployers says that deployers have images of their own, with what a
	// server needs.
	Deployers bool
	// ArgsLine says that arguments of installers stand together in the
	// Dockerfile, defaults first; before, they were fixed words.
	ArgsLine bool
	// UVSystem says that uv is told to install into the system's Python;
	// UVEachTime that it is installed before every file.
	UVSystem, UVEachTime bool
	// ChownFirst says that owners change before the user does.
	ChownFirst bool
	// IntegrationApt says that named integrations bring Debian packages, too.
	IntegrationApt bool
	// Entrypoints says that images for SageMaker's step operator have one.
	Entrypoints bool
	// OwnRegistries says that the repository that a registry prescribes holds
	// for images of the user's own Dockerfile, too.
	OwnRegistries bool

	// LateEnv says that the user's variables are set after everything is
	// installed. It ends with 0.41; that it begins with 0.21 is assumed: 0.20.5
	// had them first.
	LateEnv bool
	// OwnTags says that the image of the user's own Dockerfile has a tag of its
	// own in the same repository; before, it had a repository of its own.
	OwnTags bool

	number [3]int
}

// AtLeast says whether the version is since or a later one.
func (f Facts) AtLeast(since string) bool {
	v, err := parseVersion(since)
	return err == nil && !less(f.number, v)
}

// keysSince are the versions from which on keys of the settings exist; the
// others are as old as the settings themselves.
var keysSince = map[string]string{ //nolint:gochecknoglobals // a constant table
	"apt_packages": "0.20.5", "user": "0.21.0", "skip_build": "0.34.0", "source_files": "0.37.0",
	"python_package_installer": "0.56.0", "python_package_installer_args": "0.58.1",
	"build_config": "0.60.0", "parent_image_build_config": "0.60.0", "prevent_build_reuse": "0.64.0",
	"allow_including_files_in_images": "0.64.0", "allow_download_from_code_repository": "0.64.0", "allow_download_from_artifact_store": "0.64.0",
	"pyproject_path": "0.82.1", "pyproject_export_command": "0.82.1", "disable_automatic_requirements_detection": "0.82.1",
	"local_project_install_command": "0.82.1", "image_tag": "0.91.0", "install_deployment_requirements": "0.91.0",
	"runtime_environment": "0.91.1", "python_package_installer_cache_mount": "0.94.5",
}

// changes are the versions in which something changed that shows in images
// (ZenML's release notes; the pull requests stand beside).
var changes = []struct { //nolint:gochecknoglobals // a constant table
	since  string
	change func(*Facts)
}{
	{"0.11.0", func(f *Facts) { f.PythonTags, f.StackFiles = true, true }},
	{"0.13.0", func(f *Facts) { f.RequirementFiles = true }},                                  // #811
	{"0.20.0", func(f *Facts) { f.StackFiles, f.InitWarnings = false, true }},                 // stacks live on the server
	{"0.32.0", func(f *Facts) { f.SaysPull = true }},                                          // #1198, image builders
	{"0.21.0", func(f *Facts) { f.LateEnv = true }},                                           // see there
	{"0.32.0", func(f *Facts) { f.OwnTags = true }},                                           // #1198
	{"0.41.0", func(f *Facts) { f.LateEnv = false }},                                          // #1665
	{"0.33.0", func(f *Facts) { f.Timeout = true }},                                           // #1185
	{"0.34.0", func(f *Facts) { f.KeepsZen, f.ImageTags, f.StepSettings = true, true, true }}, // #1292, #1293
	{"0.37.0", func(f *Facts) { f.CodeVariable = true }},                                      // #1344
	{"0.45.2", func(f *Facts) { f.ChownFirst = true }},                                        // the order of chown and USER
	{"0.56.0", func(f *Facts) { f.UVSystem, f.UVEachTime = true, true }},                      // #2510
	{"0.56.2", func(f *Facts) { f.UVEachTime = false }},                                       // uv once
	{"0.56.3", func(f *Facts) { f.ColorVariable = true }},                                     // logging in colours
	{"0.58.1", func(f *Facts) { f.ArgsLine = true }},                                          // #2727
	{"0.58.2", func(f *Facts) { f.UVSystem = false }},                                         // #2764
	{"0.61.0", func(f *Facts) { f.UserLast, f.OwnRegistries = true, true }},                   // #2341
	{"0.63.0", func(f *Facts) { f.IntegrationApt = true }},                                    // apt packages of integrations
	{"0.64.0", func(f *Facts) { f.UploadsCode = true }},                                       // #2895
	{"0.65.0", func(f *Facts) { f.CodeVariable = false }},                                     // #2946
	{"0.74.0", func(f *Facts) { f.QuotesEnv = true }},                                         // #3288
	{"0.82.0", func(f *Facts) { f.IgnoresUnknownKeys = true }},                                // #3620
	{"0.84.0", func(f *Facts) { f.SanitizedTags = true }},                                     // #3820
	{"0.85.0", func(f *Facts) { f.Installer = UV }},                                           // #3935
	{"0.90.0", func(f *Facts) { f.ColorVariable = false }},                                    // #3336
	{"0.91.0", func(f *Facts) { f.Deployers = true }},                                         // #4064
	{"0.92.0", func(f *Facts) { f.ForcesPull = true }},                                        // #4262
	{"0.93.0", func(f *Facts) { f.LocalExtra = true }},                                        // the extra of that name
	{"0.94.1", func(f *Facts) { f.BuildArguments = true }},                                    // #4612
	{"0.95.0", func(f *Facts) { f.Entrypoints = false }},                                      // SageMaker
	{"0.96.2", func(f *Facts) { f.PacksDockerignore = false }},                                // #5033
}

// FactsOf returns the facts of a version.
func FactsOf(version string) (Facts, error) {
	v, err := parseVersion(version)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{Version: version, Entrypoints: true, Installer: Pip, PacksDockerignore: true, number: v}
	for _, c := range changes {
		since, err := parseVersion(c.since)
		if err != nil {
			return Facts{}, err
		}
		if !less(v, since) {
			c.change(&f)
		}
	}
	return f, nil
}

// Base is the name of ZenML's own image for a version of Python, "3.11".
func (f Facts) Base(python string) string {
	if !f.PythonTags {
		return "zenmldocker/zenml:" + f.Version
	}
	return "zenmldocker/zenml:" + f.Version + "-py" + python
}

// parseVersion reads "0.98.0", also with a suffix such as "rc1" after it.
func parseVersion(s string) ([3]int, error) {
	var v [3]int
	for i, part := range strings.SplitN(s, ".", 3) {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil || i < 2 && digits != part {
			return v, fmt.Errorf("%q is not a version of ZenML", s)
		}
		v[i] = n
	}
	return v, nil
}

func less(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}
