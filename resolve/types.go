package resolve

import (
	"context"
	"slices"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

// Options are what the user says beside the project's files.
type Options struct {
	// Dir is where the user is: paths in settings are relative to it.
	Dir string
	// Env is the user's environment; ZenML's variables and those that settings
	// name are read from it.
	Env map[string]string
	// Config and Stack are files: a run configuration and a stack export.
	Config, Stack string
	// Source is a pipeline in Python, FILE:NAME: the project's own ZenML says
	// what its settings, steps and stack are.
	Source string
	// Pipeline is the pipeline's name; images are called after it.
	Pipeline string
	// Steps are the names of the pipeline's steps in call order, each with the
	// steps that it waits for after a colon, if any ("train:load,split"); a
	// name that stands twice is counted, as ZenML does. Empty are those that
	// the run configuration names, and others beside them.
	Steps []string
	// Dynamic says that the steps are known only when the pipeline runs.
	Dynamic bool
	// Main is the file of the pipeline: its directory is the source root where
	// there is no repository. Empty is Dir.
	Main string
	// CodeRepository is the kind of the code repository that the sources are a
	// clean and pushed checkout of ("github"); empty if there is none. ZenML
	// then fetches them from it when a step starts.
	CodeRepository string
	// Compat follows ZenML to the letter, see docs/compat.md.
	Compat bool
	// ParentDigests asks for digests of bases, which ZenML's checksums name.
	ParentDigests bool
	// Wheel is a wheel of ZenML's that says what integrations need; empty looks
	// elsewhere.
	Wheel string
	// ZenML and Python are versions; empty finds them.
	ZenML, Python string
	// Base takes the place of parent_image and of ZenML's own image.
	Base, Platform string
	// Requirements, Integrations and Apt come after those of the settings.
	Requirements, Integrations, Apt []string
	// RequirementPlaces say where each of Requirements stands, as "FILE:LINE";
	// empty is the command line. They may be fewer.
	RequirementPlaces []string
	// RequireHashes refuses requirements without a hash, and has the installer do
	// so, too.
	RequireHashes bool
	// Installer takes the place of python_package_installer.
	Installer string
	// Dockerignore takes the place of the ignore file that settings name.
	Dockerignore string
	// NoStackConfig leaves the stack's configuration out of the image.
	NoStackConfig bool
	// Matcher is the reading of ignore files; empty is the version's.
	Matcher string
	// Outputs are files and directories that the build writes; what of them
	// lies in the source root stays out.
	Outputs []string
	// Lend names the package managers whose settings the host lends to every RUN
	// of the user's own Dockerfile.
	Lend []string
	// AllowSecrets are paths that may go in though they look like secrets.
	AllowSecrets []string
	// WarnOfSecrets lets the others in, too, with a warning.
	WarnOfSecrets bool
	// Memory is what earlier runs found out; nil is nothing.
	Memory Memory
}

// A Memory keeps small texts from one run to the next. What it has lost, or
// never had, is found out again.
type Memory interface {
	// Recall returns what was kept under a key.
	Recall(key string) (text string, ok bool)
	// Keep keeps a text. That it could not is no error.
	Keep(key, text string)
}

// A Result is what was decided.
type Result struct {
	// Images are those to be made, in ZenML's order; none if the stack runs
	// its steps without one.
	Images []Image
	// Keys are ZenML's names for images, in its order; several may stand for
	// one image.
	Keys []Key
	// Registry is that of the stack; empty if it has none.
	Registry string
	// Context is the build context of the plans: the source root, or that of a
	// Dockerfile.
	Context string
	// Warnings are for people, one line each.
	Warnings []string
	// ZenML and Python are the versions that were found.
	ZenML, Python string
	// Files are what goes in of the source root, by the pipeline's settings.
	Files FileSet
	// StackChecksum is ZenML's, of the stack's integrations.
	StackChecksum string
}

// A Key is what ZenML calls an image in its record of a build.
type Key struct {
	Name string
	// Image is an index in [Result.Images].
	Image int
	// Checksum is ZenML's, of the settings.
	Checksum string
}

// An Image is one that is to be made.
type Image struct {
	// Key is the first of its keys.
	Key  string
	Plan plan.Plan
	// Untouched says that nothing is made, tagged or pushed: the base is used
	// as it is.
	Untouched bool
	// Names are what ZenML would call the image, with the stack's registry if
	// it has one; none without a pipeline's name.
	Names []string
	// StepEnv has the values of the variables that steps name and the plan
	// does not hold.
	StepEnv map[string]string
	// ContainsCode says that the sources are in it; DownloadsCode that ZenML
	// fetches them when a step starts.
	ContainsCode, DownloadsCode bool
	// Requirements are all that is installed, as ZenML records it.
	Requirements string
	// Builds are what ZenML would have handed to Docker, in order; the last
	// one gives the image. There is none where ZenML only tags.
	Builds []Build
	// Broken are settings that ZenML's Dockerfile would not build with; it can
	// be written all the same.
	Broken []error
	// Contexts are directories that the plan names as further build contexts.
	Contexts map[string]string
	// NoCache says that every layer is made again, as the settings ask.
	NoCache bool
	// Secrets and SSH are options of the settings with the names and the values
	// of docker build's flags.
	Secrets, SSH []string
	// CacheFrom are images that layers may be taken from, as the settings say.
	CacheFrom []string
	// Epoch is the time in seconds that a Dockerfile's SOURCE_DATE_EPOCH names;
	// nil for most.
	Epoch *int64
}

// Base is the base of the image, of the last stage that has one of its own.
func (i Image) Base() string {
	for _, s := range slices.Backward(i.Plan.Stages) {
		if s.Base != "" {
			return s.Base
		}
	}
	return ""
}

// Dockerfile is the one that ZenML would have generated; empty if none.
func (i Image) Dockerfile() string {
	if len(i.Builds) == 0 || i.Builds[len(i.Builds)-1].Own {
		return ""
	}
	return i.Builds[len(i.Builds)-1].Files[dockerfileName]
}

// BaseConfig is what must be known of a base.
type BaseConfig = dockerfile.Config

// Bases tells of bases.
type Bases interface {
	Config(ctx context.Context, ref, platform string) (BaseConfig, error)
	// Expect is told of a base that will be wanted while other things are found
	// out; it does not wait for anything.
	Expect(ctx context.Context, ref, platform string)
	// Digest is the hexadecimal digest of an image in its registry; empty if
	// it cannot be known.
	Digest(ctx context.Context, ref string) string
	// IsLocal says whether a container engine of the user's has the image, and
	// has it from no registry.
	IsLocal(ref string) bool
	// Modules are those files of ZenML's package in a base of which
	// [IsModule] says so; none if it has no ZenML.
	Modules(ctx context.Context, ref, platform string) ([]Module, error)
}

// Host runs commands of the user's machine, and returns what they print.
type Host interface {
	Command(ctx context.Context, dir string, argv []string) ([]byte, error)
}
