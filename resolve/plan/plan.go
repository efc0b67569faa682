// Package plan is the vocabulary of a build: what an image is made of, as data.
//
// A [Plan] is a list of stages, a stage is a base and a list of steps, and there
// are five kinds of step: [Copy], [Write], [Install], [Run] and [Set]. Package
// resolve writes plans, package oci carries them out, and `kanso plan` prints
// them. A plan can be compared in a test and hashed for the cache.
//
// Nothing in a plan says where the image goes, and no secret stands in one:
// values that only a step may see are named, not held. Names of users stay
// symbolic, since only package oci sees the files of images. The package does
// nothing: it reads no file and runs no process.
package plan

import "io/fs"

// A Plan says how to make one image. The last stage is the image.
type Plan struct {
	Stages []Stage `json:"stages"`
}

// A Stage is a base and the steps that are carried out on it, in order.
type Stage struct {
	// Name is what later stages call this one; it may be empty.
	Name string `json:"name,omitempty"`
	// Base is an image reference, "oci:DIR[:TAG]", "oci-archive:FILE",
	// "docker-archive:FILE", or "scratch" for an empty image.
	Base string `json:"base"`
	// Platform is os/arch[/variant]; empty means the one that the base has,
	// linux/amd64 if it has several.
	Platform string `json:"platform,omitempty"`
	// Steps in the order in which they are carried out.
	Steps []Step `json:"steps"`
}

// A Step is a [Copy], a [Write], an [Install], a [Run] or a [Set]; there are
// no others.
type Step interface {
	// Kind is the lower-case name of the step's type: "copy", "write",
	// "install", "run" or "set".
	Kind() string
	step()
}

// Modes says where the permission bits of copied files come from.
type Modes string

const (
	// ModesDisk keeps the bits that the files have.
	ModesDisk Modes = "disk"
	// ModesGit is git's two for files, 0644 and 0755 (by the owner's x bit),
	// and 0755 for directories, so that no umask shows.
	ModesGit Modes = "git"
)

// Copy adds files of the build context as one layer.
type Copy struct {
	// Files are slash-separated paths relative to the context, sorted. A
	// directory stands for its own entry, not for what is in it. Symbolic
	// links are copied as links.
	Files []string `json:"files"`
	// Dest is the absolute directory in the image under which Files go.
	Dest string `json:"dest"`
	// Modes is where permissions come from.
	Modes Modes `json:"modes"`
	// AddMode is or-ed to the permissions of everything but links, as
	// chmod a+rw does with 0666.
	AddMode fs.FileMode `json:"add_mode,omitempty"`
	// Owner is as chown takes it, "user", "uid", "user:group" or "uid:gid";
	// without a group the group is 0, and empty is 0:0. Names are looked up
	// in the image as it is when the step begins.
	Owner string `json:"owner,omitempty"`
	// Adopt gives AddMode and Owner also to what the image already has below
	// Dest, as chmod -R and chown -R of Dest would.
	Adopt bool `json:"adopt,omitempty"`
}

// A File is one entry of a [Write] step.
type File struct {
	// Path is absolute in the image.
	Path string `json:"path"`
	// Mode holds the type (a regular file, a directory or a symbolic link)
	// and the permissions, which are final.
	Mode fs.FileMode `json:"mode"`
	// Data is the content of a regular file or the target of a link.
	Data string `json:"data,omitempty"`
}

// Write adds entries whose contents are known now, as one layer. A directory
// that the image already has keeps its files and takes the new mode and owner.
type Write struct {
	// Files in any order; missing parents are root's, 0755.
	Files []File `json:"files"`
	// Owner is as in [Copy].
	Owner string `json:"owner,omitempty"`
}

// Install installs Python requirements with pip or uv and keeps what changed.
type Install struct {
	// Installer is "pip" or "uv".
	Installer string `json:"installer"`
	// Requirements is the content of the requirements file, verbatim.
	Requirements string `json:"requirements,omitempty"`
	// File is where the requirements file stands in the image, also after the
	// step; empty if Command names the requirements itself. Its mode is 0666.
	File string `json:"file,omitempty"`
	// Owner is who owns File, as in [Copy]. What the installer writes belongs
	// to whom the step runs as.
	Owner string `json:"owner,omitempty"`
	// Command is the equivalent argv, run in the image's working directory by
	// an engine that knows nothing better.
	Command []string `json:"command"`
	// Env holds names of variables that are given to the step and neither kept
	// in the image nor part of its key; their values are not in the plan.
	Env []string `json:"env,omitempty"`
}

// Run executes a command in the image and keeps what changed as one layer.
type Run struct {
	// Args is the argv; Args[0] is looked up in the image's PATH.
	Args []string `json:"args"`
	// Packages names the package managers ("apt", "pip", "uv") whose settings
	// and caches the host lends to the command; commands that kanso wrote have
	// some, a user's own have none.
	Packages []string `json:"packages,omitempty"`
	// Env is as in [Install].
	Env []string `json:"env,omitempty"`
	// Dir is the working directory; empty is the image's.
	Dir string `json:"dir,omitempty"`
	// User is who the command runs as, as in [Set]; empty is the image's.
	User string `json:"user,omitempty"`
	// Network is "host" (also if empty) or "none".
	Network string `json:"network,omitempty"`
	// Below is a directory whose owner and modes were settled by an earlier
	// step: what the command leaves there takes Owner and AddMode, as with
	// Copy.Adopt. Empty means that nothing does.
	Below   string      `json:"below,omitempty"`
	Owner   string      `json:"owner,omitempty"`
	AddMode fs.FileMode `json:"add_mode,omitempty"`
}

// A Var is an environment variable.
type Var struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Set changes the image's configuration and nothing else. Zero fields change
// nothing.
type Set struct {
	// Env is added in order; a name that is already set keeps its place and
	// takes the new value.
	Env []Var `json:"env,omitempty"`
	// WorkingDir is absolute. The directory itself is written by a [Write].
	WorkingDir string `json:"working_dir,omitempty"`
	// User is stored as it is given.
	User string `json:"user,omitempty"`
	// Entrypoint also clears an inherited Cmd.
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Cmd replaces the command.
	Cmd []string `json:"cmd,omitempty"`
	// Labels are added.
	Labels map[string]string `json:"labels,omitempty"`
}

// Kind implements [Step].
func (Copy) Kind() string { return "copy" }

// Kind implements [Step].
func (Write) Kind() string { return "write" }

// Kind implements [Step].
func (Install) Kind() string { return "install" }

// Kind implements [Step].
func (Run) Kind() string { return "run" }

// Kind implements [Step].
func (Set) Kind() string { return "set" }

func (Copy) step()    {}
func (Write) step()   {}
func (Install) step() {}
func (Run) step()     {}
func (Set) step()     {}
