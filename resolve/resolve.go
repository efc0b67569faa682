// Package resolve decides what goes into the image of a ZenML project, as ZenML
// itself would: which base, which packages and requirements in which order,
// which files, which configuration. What it decides is a plan.
//
// It reads the project's files and asks the host and the base what it is told
// it may ask; it builds nothing, runs no process of its own, reaches no network
// by itself, and writes nothing.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kanso-build/kanso/resolve/plan"
	"github.com/kanso-build/kanso/resolve/zenml"
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
	// Pipeline is the pipeline's name; images are called after it.
	Pipeline string
	// ZenML and Python are versions; empty finds them.
	ZenML, Python string
	// Base takes the place of parent_image and of ZenML's own image.
	Base, Platform string
	// Requirements, Integrations and Apt come after those of the settings.
	Requirements, Integrations, Apt []string
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
	// AllowSecrets are paths that may go in though they look like secrets.
	AllowSecrets []string
}

// A Result is what was decided.
type Result struct {
	Plan plan.Plan
	// Names are what ZenML would call the image, with the stack's registry if
	// it has one; none without a pipeline's name.
	Names []string
	// Registry is that of the stack; empty if it has none.
	Registry string
	// Context is the source root, which the files of Copy steps are in.
	Context string
	// StepEnv has the values of the variables that steps name and the plan
	// does not hold.
	StepEnv map[string]string
	// Warnings are for people, one line each.
	Warnings []string
	// ZenML and Python are the versions that were found.
	ZenML, Python string
	// Files are what goes in of the source root.
	Files FileSet
}

// BaseConfig is what must be known of a base.
type BaseConfig struct {
	Env              map[string]string
	User, WorkingDir string
}

// Bases tells of bases.
type Bases interface {
	Config(ctx context.Context, ref, platform string) (BaseConfig, error)
}

// Host runs commands of the user's machine, and returns what they print.
type Host interface {
	Command(ctx context.Context, dir string, argv []string) ([]byte, error)
}

// resolution is a Result that is being made.
type resolution struct {
	Result
	o      Options
	bases  Bases
	host   Host
	docker zenml.Docker
	stack  zenml.Stack
	client zenml.Config
	facts  zenml.Facts
	table  zenml.Catalogue
	venv   venv
}

// Resolve decides. Errors about a file name it and the line; they are
// [*zenml.Error], [*SecretError] or about files.
func Resolve(ctx context.Context, o Options, bases Bases, host Host) (Result, error) {
	r := &resolution{o: o, bases: bases, host: host}
	r.StepEnv = map[string]string{}
	for _, step := range []func(context.Context) error{r.readFiles, r.findVersions, r.findFiles, r.makePlan} {
		if err := step(ctx); err != nil {
			return Result{}, err
		}
	}
	r.nameImage()
	return r.Result, nil
}

// Sources decides only which files of the project go in.
func Sources(ctx context.Context, o Options) (FileSet, error) {
	r := &resolution{o: o}
	for _, step := range []func(context.Context) error{r.readFiles, r.findVersions, r.findFiles} {
		if err := step(ctx); err != nil {
			return FileSet{}, err
		}
	}
	return r.Files, nil
}

// readFiles reads the run configuration, the stack and the client's
// configuration.
func (r *resolution) readFiles(context.Context) (err error) {
	if r.Context, err = SourceRoot(r.o.Dir, r.o.Env); err != nil {
		return err
	}
	config := zenml.NoRunConfig()
	if r.o.Config != "" {
		data, err := os.ReadFile(r.o.Config)
		if err != nil {
			return fmt.Errorf("run configuration: %w", err)
		}
		if config, err = zenml.ReadRunConfig(r.o.Config, data, r.o.Env); err != nil {
			return err
		}
	}
	r.docker = config.Docker
	r.Warnings = append(r.Warnings, config.Warnings...)
	if r.o.Stack != "" {
		data, err := os.ReadFile(r.o.Stack)
		if err != nil {
			return fmt.Errorf("stack: %w", err)
		}
		if r.stack, err = zenml.ReadStack(r.o.Stack, data); err != nil {
			return err
		}
	}
	return r.readClient()
}

// readClient reads the configuration of ZenML's client, if there is one.
func (r *resolution) readClient() error {
	dir := r.o.Env["ZENML_CONFIG_PATH"]
	if dir == "" && r.o.Env["HOME"] != "" {
		dir = filepath.Join(cmp.Or(r.o.Env["XDG_CONFIG_HOME"], filepath.Join(r.o.Env["HOME"], ".config")), "zenml")
	}
	if dir == "" {
		return nil
	}
	file := filepath.Join(dir, "config.yaml")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("client's configuration: %w", err)
	}
	r.client, err = zenml.ReadConfig(file, data)
	return err
}

// findVersions decides which ZenML and which Python the image is for.
func (r *resolution) findVersions(context.Context) (err error) {
	r.venv = findVenv(r.Context, r.o.Env)
	r.ZenML = cmp.Or(r.o.ZenML, r.venv.zenml, r.stack.Version)
	if r.ZenML == "" {
		r.ZenML = zenml.Newest
		r.warnf("ZenML's version is not known: taking %s, the newest that is (--zenml-version names another)", r.ZenML)
	}
	if r.facts, err = zenml.FactsOf(r.ZenML); err != nil {
		return err
	}
	if r.table, err = zenml.CatalogueOf(r.ZenML); err != nil {
		return err
	}
	r.Python = cmp.Or(r.o.Python, r.venv.python)
	if r.Python == "" && r.base() == "" && r.facts.PythonTags {
		r.Python = defaultPython
		r.warnf("Python's version is not known: taking %s (--python names another)", r.Python)
	}
	r.Python = minor(r.Python)
	return nil
}

// defaultPython is the one that ZenML's image without a Python version has.
const defaultPython = "3.11"

// minor is "3.11" of "3.11.7".
func minor(python string) string {
	parts := strings.SplitN(python, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// base is the base that the user names; empty is ZenML's own.
func (r *resolution) base() string { return cmp.Or(r.o.Base, r.docker.ParentImage) }

// findFiles decides which files of the source root go in.
func (r *resolution) findFiles(ctx context.Context) error {
	if !r.docker.Include {
		r.warnf("the sources stay out: allow_including_files_in_images is false")
		r.Files.Root = r.Context
		return nil
	}
	o := FileOptions{
		Root: r.Context, Matcher: r.o.Matcher, Allow: r.o.AllowSecrets,
		DropIgnore: !r.facts.PacksDockerignore, DropZen: !r.facts.KeepsZen,
	}
	if o.Matcher == "" && !r.facts.KeepsZen {
		o.Matcher = MatcherDockerPy
	}
	switch {
	case r.o.Dockerignore != "":
		o.Ignore = r.o.Dockerignore
	case r.docker.Dockerignore != "":
		o.Ignore = from(r.o.Dir, r.docker.Dockerignore)
		if _, err := os.Stat(o.Ignore); err != nil {
			return r.docker.Errorf("dockerignore", "paths in settings are relative to the directory that kanso is started in",
				"ignore file %s does not exist", r.docker.Dockerignore)
		}
	}
	var err error
	if r.Files, err = Files(ctx, o); err != nil {
		return err
	}
	r.Warnings = append(r.Warnings, r.Files.Warnings...)
	return r.drop()
}

// drop leaves out what the build itself reads or writes: the stack export,
// which can hold secrets (what a container may know of it is written by
// itself), and outputs, which would make every build another one.
func (r *resolution) drop() error {
	if r.o.Stack != "" {
		if rel := r.within(r.o.Stack); r.Files.without(rel, "a stack export can hold secrets", r.o.AllowSecrets) {
			r.warnf("%s stays out: a stack export can hold secrets (--allow-secret %s takes it in)", rel, rel)
		}
	}
	for _, o := range r.o.Outputs {
		r.Files.without(r.within(o), "this build writes it", nil)
	}
	return nil
}

// within is a path relative to the source root; empty if it is elsewhere.
func (r *resolution) within(file string) string {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	root := r.Context
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	rel, err := filepath.Rel(root, filepath.Join(dir, filepath.Base(file)))
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// nameImage says what ZenML would call the image.
func (r *resolution) nameImage() {
	registry, repository := r.stack.Registry()
	r.Registry = registry
	tag := r.docker.ImageTag
	if tag == "" {
		tag = r.tag()
	}
	if tag == "" {
		return
	}
	name := cmp.Or(r.docker.Repository, repository, "zenml") + ":" + tag
	if registry != "" {
		name = registry + "/" + name
	}
	r.Names = []string{name}
}

// tag is made of the pipeline's name.
func (r *resolution) tag() string {
	if r.o.Pipeline == "" {
		return ""
	}
	if !r.facts.ImageTags {
		return r.o.Pipeline
	}
	tag := r.o.Pipeline + "-orchestrator"
	if !r.facts.SanitizedTags {
		return tag
	}
	return sanitize(tag)
}

// sanitize makes a tag of any text: other characters go, a leading dot or
// hyphen becomes an underscore, and at most 128 remain.
func sanitize(tag string) string {
	tag = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			return c
		}
		return -1
	}, tag)
	if tag != "" && (tag[0] == '.' || tag[0] == '-') {
		tag = "_" + tag[1:]
	}
	return tag[:min(len(tag), 128)]
}

func (r *resolution) warnf(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}
