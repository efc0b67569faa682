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

import (
	"io/fs"
	"time"
)

// A Plan says how to make one image. The last stage is the image.
type Plan struct {
	Stages []Stage `json:"stages"`
}

// A Stage is a base and the steps that are carried out on it, in order. Only
// stages that the last one needs are in a plan.
type Stage struct {
	// Name is what later stages call this one: unique in the plan, compared
	// exactly, and empty if none refers to it.
	Name string `json:"name,omitempty"`
	// Base is an image reference, "oci:DIR[:TAG]", "oci-archive:FILE",
	// "docker-archive:FILE", or "scratch" for an empty image. It is empty if
	// BaseStage is set.
	Base string `json:"base,omitempty"`
	// BaseStage is the name of the earlier stage that this one continues.
	BaseStage string `json:"base_stage,omitempty"`
	// Platform is os/arch[/variant]; empty means the one that the base has,
	// linux/amd64 if it has several.
	Platform string `json:"platform,omitempty"`
	// Steps in the order in which they are carried out.
	Steps []Step `json:"steps"`
	// Lines says where each of Steps comes from, as "Dockerfile:7"; it is empty
	// for steps that stand in no file, and enters no key.
	Lines []string `json:"lines,omitempty"`
}

// Line is where step number i comes from; empty if that is not known.
func (s Stage) Line(i int) string {
	if i < len(s.Lines) {
		return s.Lines[i]
	}
	return ""
}

// A Step is a [Copy], a [Write], an [Install], a [Run] or a [Set]; there are
// no others.
type Step interface {
	// Kind is the lower-case name of the step's type: "copy", "write",
	// "install", "run" or "set".
	Kind() string
	step()
}

// A Source is where a [Copy] or a [Mount] has its files from. At most one of
// Stage, Image, Context, URL, Git and Inline is set; the zero value is the
// build context.
type Source struct {
	// Stage is the name of an earlier stage.
	Stage string `json:"stage,omitempty"`
	// Image is an image reference, as in [Stage.Base].
	Image string `json:"image,omitempty"`
	// Platform is that of Image; empty is as in [Stage.Platform].
	Platform string `json:"platform,omitempty"`
	// Context names a further build context, a directory of the host's that
	// whoever carries out the plan knows.
	Context string `json:"context,omitempty"`
	// URL is one file, got by HTTP. Its name is the last element of the path.
	URL string `json:"url,omitempty"`
	// Git is a repository, "URL[#REF[:DIR]]", as the host's git takes it.
	Git string `json:"git,omitempty"`
	// KeepGit keeps the .git directory of Git.
	KeepGit bool `json:"keep_git,omitempty"`
	// Checksum is the digest that the file of URL ("sha256:...") or the commit
	// of Git (hexadecimal) must have; empty is any.
	Checksum string `json:"checksum,omitempty"`
	// Inline are files whose contents are known now: here-documents.
	Inline []File `json:"inline,omitempty"`
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

// Unpack says whether archives are unpacked when they are copied.
type Unpack string

const (
	// UnpackNo copies archives as they are.
	UnpackNo Unpack = ""
	// UnpackLocal unpacks archives of the context, as ADD does: tar, also
	// compressed with gzip, bzip2, xz or zstd, by content and not by name.
	UnpackLocal Unpack = "local"
	// UnpackAll unpacks those that are downloaded, too.
	UnpackAll Unpack = "all"
)

// Copy adds files as one or more layers.
//
// Without Patterns every one of Files goes to the same path below Dest, which
// is a directory: that is what ZenML needs. With Patterns it is COPY and ADD of
// a Dockerfile, as BuildKit has them: each pattern selects files of the source,
// links in the source being followed at the end of a pattern and on the way
// (inside the source's root); of a directory the contents are copied, of
// anything else the thing itself, into Dest if that is a directory (it ends in a
// slash, is one in the image, or several things are copied) and as Dest if not.
type Copy struct {
	// From is where the files are.
	From Source `json:"from,omitzero"`
	// Patterns are what is copied of From, slash-separated and relative to its
	// root, with the wildcards of Go's path.Match. One with wildcards may match
	// nothing.
	Patterns []string `json:"patterns,omitempty"`
	// Files are, for a build context, those that ignore rules leave and the
	// step may need: slash-separated paths relative to the context, sorted. A
	// directory stands for its own entry, not for what is in it. Symbolic
	// links are copied as links. For other sources there are none.
	Files []string `json:"files,omitempty"`
	// Exclude are patterns, in the language of ignore files, of what is left
	// out; they are relative to the root of From.
	Exclude []string `json:"exclude,omitempty"`
	// Dest is absolute in the image; links on the way are followed in it. A
	// slash at its end says that it is a directory.
	Dest string `json:"dest"`
	// Parents keeps the directories of what patterns match, from a "/./" in
	// the pattern on, or else all.
	Parents bool `json:"parents,omitempty"`
	// Link makes the layer without a look at the image: no link on the way to
	// Dest is followed, and Dest is a directory only if it says so.
	Link bool `json:"link,omitempty"`
	// Unpack says whether archives are unpacked.
	Unpack Unpack `json:"unpack,omitempty"`
	// Modes is where permissions come from.
	Modes Modes `json:"modes"`
	// AddMode is or-ed to the permissions of everything but links, as
	// chmod a+rw does with 0666.
	AddMode fs.FileMode `json:"add_mode,omitempty"`
	// Chmod is what COPY --chmod says, octal or symbolic; it also goes for
	// directories that are made on the way to Dest.
	Chmod string `json:"chmod,omitempty"`
	// Owner is as chown takes it, "user", "uid", "user:group", "uid:gid" or
	// "user:"; without a colon the group is 0, with nothing after it the group
	// that the image's /etc/passwd has for the user, and empty is 0:0. Names are
	// looked up in the image as it is when the step begins; in a step of a
	// Dockerfile one that is not there is 0.
	Owner string `json:"owner,omitempty"`
	// Adopt gives AddMode and Owner also to what the image already has below
	// Dest, as chmod -R and chown -R of Dest would.
	Adopt bool `json:"adopt,omitempty"`
}

// A File is one entry of a [Write] step.
type File struct {
	// Path is absolute in the image; in [Source.Inline] it is a bare name.
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
	// Missing leaves directories that the image has as they are, and follows
	// links to them, as WORKDIR does; parents that are missing have Owner, too.
	Missing bool `json:"missing,omitempty"`
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
	// Vars are as in [Run].
	Vars []Var `json:"vars,omitempty"`
}

// MountType is a kind of [Mount].
type MountType string

// The kinds of mounts, by the names that RUN --mount has for them.
const (
	MountBind   MountType = "bind"
	MountCache  MountType = "cache"
	MountTmpfs  MountType = "tmpfs"
	MountSecret MountType = "secret"
	MountSSH    MountType = "ssh"
)

// Sharing says what builds that run at the same time do with one cache.
type Sharing string

// SharingShared lets all use it at once, SharingPrivate gives each its own, and
// SharingLocked one after the other.
const (
	SharingShared  Sharing = "shared"
	SharingPrivate Sharing = "private"
	SharingLocked  Sharing = "locked"
)

// A Mount is what a command sees beside the image. Nothing of it reaches the
// layer but the mount point, empty, if the image did not have it.
type Mount struct {
	Type MountType `json:"type"`
	// Target is absolute in the image. For a secret it is empty if the secret is
	// only given as a variable; for an ssh agent it is the socket.
	Target string `json:"target,omitempty"`
	// From and Path, relative to its root, are what a bind shows and what a cache
	// starts with; Files are as in [Copy], for a build context.
	From  Source   `json:"from,omitzero"`
	Path  string   `json:"path,omitempty"`
	Files []string `json:"files,omitempty"`
	// ReadOnly keeps the command from writing; what it writes into a bind that
	// is not read-only is thrown away.
	ReadOnly bool `json:"read_only,omitempty"`
	// ID names a cache, a secret or an agent.
	ID string `json:"id,omitempty"`
	// Sharing is a cache's; empty is SharingShared.
	Sharing Sharing `json:"sharing,omitempty"`
	// Env is the variable that a secret is given in; empty for none.
	Env string `json:"env,omitempty"`
	// Required makes a missing secret or agent an error; else it is left out.
	Required bool `json:"required,omitempty"`
	// Mode, UID and GID are those of a cache's directory, when it is made, of a
	// secret's file or of an agent's socket. Mode has the permissions only.
	Mode fs.FileMode `json:"mode,omitempty"`
	UID  int         `json:"uid,omitempty"`
	GID  int         `json:"gid,omitempty"`
	// Size is a tmpfs's limit in bytes; zero is the kernel's.
	Size int64 `json:"size,omitempty"`
}

// A Ulimit is a limit of a command's resources (setrlimit(2)), such as
// "nofile"; -1 is none.
type Ulimit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
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
	// Vars are variables of the command that the image does not keep: build
	// arguments. They win over the image's environment.
	Vars []Var `json:"vars,omitempty"`
	// Dir is the working directory; empty is the image's.
	Dir string `json:"dir,omitempty"`
	// User is who the command runs as, as in [Set]; empty is the image's.
	User string `json:"user,omitempty"`
	// Network is "host" (also if empty) or "none".
	Network string `json:"network,omitempty"`
	// Mounts are what the command sees beside the image.
	Mounts []Mount `json:"mounts,omitempty"`
	// Lent are files that only the command sees: scripts of here-documents.
	Lent []File `json:"lent,omitempty"`
	// Hosts are lines of /etc/hosts that only the command sees, "NAME=IP".
	Hosts []string `json:"hosts,omitempty"`
	// Ulimits are the command's limits.
	Ulimits []Ulimit `json:"ulimits,omitempty"`
	// ShmSize is the size of /dev/shm in bytes; zero is the engine's choice.
	ShmSize int64 `json:"shm_size,omitempty"`
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

// A Healthcheck is how a container's health is looked at. Zero fields are the
// engine's defaults.
type Healthcheck struct {
	// Test is ["NONE"], ["CMD", arg...] or ["CMD-SHELL", command].
	Test          []string      `json:"test"`
	Interval      time.Duration `json:"interval_ns,omitempty"`
	Timeout       time.Duration `json:"timeout_ns,omitempty"`
	StartPeriod   time.Duration `json:"start_period_ns,omitempty"`
	StartInterval time.Duration `json:"start_interval_ns,omitempty"`
	Retries       int           `json:"retries,omitempty"`
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
	// Entrypoint also clears an inherited Cmd. Empty and not nil clears it.
	Entrypoint []string `json:"entrypoint,omitzero"`
	// Cmd replaces the command. Empty and not nil clears it.
	Cmd []string `json:"cmd,omitzero"`
	// Labels are added.
	Labels map[string]string `json:"labels,omitempty"`
	// ExposedPorts are added, as "80/tcp".
	ExposedPorts []string `json:"exposed_ports,omitempty"`
	// Volumes are added.
	Volumes []string `json:"volumes,omitempty"`
	// StopSignal replaces the signal that ends a container.
	StopSignal string `json:"stop_signal,omitempty"`
	// Healthcheck replaces the inherited one.
	Healthcheck *Healthcheck `json:"healthcheck,omitempty"`
	// Shell replaces what shell forms are run with.
	Shell []string `json:"shell,omitempty"`
	// OnBuild are instructions that are added for images on top of this one;
	// DropOnBuild forgets inherited ones before, which have been carried out.
	OnBuild     []string `json:"on_build,omitempty"`
	DropOnBuild bool     `json:"drop_on_build,omitempty"`
	// Author replaces the author.
	Author string `json:"author,omitempty"`
	// ArgsEscaped says that Cmd or Entrypoint is a shell form.
	ArgsEscaped *bool `json:"args_escaped,omitempty"`
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
