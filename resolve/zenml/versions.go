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
	// RuntimeEnvironment says that settings of that name exist.
	RuntimeEnvironment bool
	// ZenVariables are the names of what every image is told.
	InitWarnings bool
}

// changes are the versions in which something changed that shows in images
// (ZenML's release notes; the pull requests stand beside).
var changes = []struct { //nolint:gochecknoglobals // a constant table
	since  string
	change func(*Facts)
}{
	{"0.11.0", func(f *Facts) { f.PythonTags, f.StackFiles = true, true }},
	{"0.13.0", func(f *Facts) { f.RequirementFiles = true }},                  // #811
	{"0.20.0", func(f *Facts) { f.StackFiles, f.InitWarnings = false, true }}, // stacks live on the server
	{"0.33.0", func(f *Facts) { f.Timeout = true }},                           // #1185
	{"0.34.0", func(f *Facts) { f.KeepsZen, f.ImageTags = true, true }},       // #1292, #1293
	{"0.61.0", func(f *Facts) { f.UserLast = true }},                          // #2341
	{"0.84.0", func(f *Facts) { f.SanitizedTags = true }},                     // #3820
	{"0.85.0", func(f *Facts) { f.Installer = UV }},                           // #3935
	{"0.91.1", func(f *Facts) { f.RuntimeEnvironment = true }},                // #4146
	{"0.93.0", func(f *Facts) { f.LocalExtra = true }},                        // the extra of that name
	{"0.96.2", func(f *Facts) { f.PacksDockerignore = false }},                // #5033
}

// FactsOf returns the facts of a version.
func FactsOf(version string) (Facts, error) {
	v, err := parseVersion(version)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{Version: version, Installer: Pip, PacksDockerignore: true}
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
