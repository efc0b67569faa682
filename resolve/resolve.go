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
	"slices"
	"strings"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// resolution is a Result that is being made.
type resolution struct {
	Result
	o      Options
	bases  Bases
	host   Host
	config zenml.RunConfig
	steps  []zenml.Step
	stack  zenml.Stack
	client zenml.Config
	facts  zenml.Facts
	table  zenml.Catalogue
	venv   venv

	tableFound, looked bool

	compiled *zenml.Compiled // nil if no Python was asked

	fileSets map[string]FileSet
	printed  map[string]printed // by command line
}

// Resolve decides. Errors about a file name it and the line; they are
// [*zenml.Error], [*secrets.Error] or about files.
func Resolve(ctx context.Context, o Options, bases Bases, host Host) (Result, error) {
	r := &resolution{o: o, bases: bases, host: host, fileSets: map[string]FileSet{}, printed: map[string]printed{}}
	for _, step := range []func(context.Context) error{r.readFiles, r.compile, r.findVersions, r.readConfig, r.nameSteps, r.makeImages} {
		if err := step(ctx); err != nil {
			return Result{}, err
		}
	}
	r.Registry, _ = r.stack.Registry()
	r.StackChecksum = zenml.Checksum(r.stack.Integrations(r.table)...)
	return r.Result, nil
}

// Sources decides only which files of the project go in.
func Sources(ctx context.Context, o Options) (FileSet, error) {
	r := &resolution{o: o, fileSets: map[string]FileSet{}}
	for _, step := range []func(context.Context) error{r.readFiles, r.findVersions, r.readConfig} {
		if err := step(ctx); err != nil {
			return FileSet{}, err
		}
	}
	return r.files(ctx, r.config.Docker)
}

// readFiles finds the source root, and reads the stack and the client's
// configuration.
func (r *resolution) readFiles(context.Context) (err error) {
	if r.Context, err = SourceRoot(r.o.Dir, r.o.Main, r.o.Env); err != nil {
		return err
	}
	if r.o.Stack != "" {
		data, err := os.ReadFile(r.o.Stack)
		if err != nil {
			return fmt.Errorf("stack: %w", err)
		}
		if r.stack, err = zenml.ReadStack(r.o.Stack, data); err != nil {
			return err
		}
	}
	r.venv = findVenv(r.Context, r.o.Env)
	return r.readClient()
}

// compile asks the project's own ZenML what it makes of the pipeline.
func (r *resolution) compile(ctx context.Context) error {
	if r.o.Source == "" {
		return nil
	}
	file, name, ok := strings.Cut(r.o.Source, ":")
	if !ok || file == "" || name == "" {
		return fmt.Errorf("pipeline source %q: want FILE:NAME", r.o.Source)
	}
	config := r.o.Config
	if config != "" {
		var err error
		if config, err = filepath.Abs(config); err != nil {
			return fmt.Errorf("run configuration: %w", err)
		}
	}
	out, err := r.host.Command(ctx, r.o.Dir, zenml.CompileCommand(r.venv.interpreter(), r.o.Source, r.Context, config))
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", r.o.Source, err)
	}
	c, err := zenml.ReadCompiled(r.o.Source, out)
	if err != nil {
		return err
	}
	r.compiled = &c
	r.o.Pipeline, r.o.Dynamic = cmp.Or(r.o.Pipeline, c.Pipeline), r.o.Dynamic || c.Dynamic
	if r.o.Stack == "" && len(c.Stack) > 0 {
		r.stack, err = zenml.ReadStack(r.o.Source, c.Stack)
	}
	return err
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

// findVersions decides which ZenML the image is for.
func (r *resolution) findVersions(context.Context) (err error) {
	r.ZenML = cmp.Or(r.o.ZenML, r.venv.zenml, r.stack.Version)
	if r.compiled != nil {
		r.ZenML = cmp.Or(r.o.ZenML, r.compiled.ZenML)
	}
	if r.ZenML == "" {
		r.ZenML = zenml.Newest
		r.warnf("ZenML's version is not known: taking %s, the newest that is (--zenml-version names another)", r.ZenML)
	}
	if r.facts, err = zenml.FactsOf(r.ZenML); err != nil {
		return err
	}
	r.table, err = zenml.CatalogueOf(r.ZenML)
	return err
}

// readConfig reads the run configuration.
func (r *resolution) readConfig(context.Context) error {
	r.config = zenml.RunConfig{Docker: zenml.Defaults()}
	switch {
	case r.compiled != nil:
		var err error
		if r.config, err = r.compiled.RunConfig(r.facts); err != nil {
			return err
		}
	case r.o.Config != "":
		data, err := os.ReadFile(r.o.Config)
		if err != nil {
			return fmt.Errorf("run configuration: %w", err)
		}
		if r.config, err = zenml.ReadRunConfig(r.o.Config, data, r.o.Env, r.facts); err != nil {
			return err
		}
	}
	r.Warnings = append(r.Warnings, r.config.Warnings...)
	warnings, err := r.config.CheckKeys(r.stack, r.facts)
	if err != nil {
		return err
	}
	r.Warnings = append(r.Warnings, warnings...)
	r.Python = cmp.Or(r.o.Python, r.venv.python)
	if r.compiled != nil {
		r.Python = cmp.Or(r.o.Python, r.compiled.Python)
	}
	if r.Python == "" && cmp.Or(r.o.Base, r.config.Docker.ParentImage) == "" && r.facts.PythonTags {
		r.Python = defaultPython
		r.warnf("Python's version is not known: taking %s (--python names another)", r.Python)
	}
	return nil
}

// others is what steps are called that nobody named. ZenML has no such name.
const others = ""

// nameSteps decides which steps there are.
func (r *resolution) nameSteps(context.Context) error {
	if r.compiled != nil {
		r.steps = r.config.Named
		return nil
	}
	if len(r.o.Steps) == 0 {
		r.steps = slices.Clone(r.config.Named)
		slices.SortFunc(r.steps, func(a, b zenml.Step) int { return strings.Compare(a.Name, b.Name) })
		r.steps = append(r.steps, r.config.Step(others))
		return nil
	}
	names, err := stepNames(r.o.Steps)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
		r.steps = append(r.steps, r.config.Step(name))
	}
	if !r.o.Dynamic {
		if err := r.stack.CheckOperators(r.steps); err != nil {
			return err
		}
	}
	for _, s := range r.config.Named {
		if !known[s.Name] || r.o.Dynamic {
			r.warnf("%s: steps.%s: the pipeline has no such step, ignored", r.o.Config, s.Name)
		}
	}
	return nil
}

// defaultPython is the one that ZenML's image without a Python version has.
const defaultPython = "3.11"

// minor is "3.11" of "3.11.7".
func minor(python string) string {
	parts := strings.SplitN(python, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// files decides which files of the source root go in.
func (r *resolution) files(ctx context.Context, d zenml.Docker) (FileSet, error) {
	o := FileOptions{
		Root: r.Context, Matcher: r.o.Matcher, Allow: r.o.AllowSecrets, WarnOfSecrets: r.o.WarnOfSecrets, Literal: r.o.Compat,
		DropIgnore: !r.facts.PacksDockerignore, DropZen: !r.facts.KeepsZen,
	}
	if o.Matcher == "" && (!r.facts.KeepsZen || r.o.Compat) {
		o.Matcher = MatcherDockerPy
	}
	name, key := d.Dockerignore()
	switch {
	case r.o.Dockerignore != "":
		o.Ignore = r.o.Dockerignore
	case name != "":
		o.Ignore = from(r.o.Dir, name)
		if _, err := os.Stat(o.Ignore); err == nil {
			break
		}
		if !r.o.Compat {
			return FileSet{}, d.Errorf(key, "paths in settings are relative to the directory that kanso is started in",
				"ignore file %s does not exist", name)
		}
		r.Warnings = append(r.Warnings, d.Warnf(key, "ignore file %s does not exist: nothing is ignored", name))
		o.NoIgnore = true
	}
	if set, ok := r.fileSets[o.Ignore]; ok {
		return set, nil
	}
	set, err := Files(ctx, o)
	if err != nil {
		return FileSet{}, err
	}
	r.Warnings = append(r.Warnings, set.Warnings...)
	if !r.o.Compat {
		r.drop(&set)
	}
	r.fileSets[o.Ignore] = set
	return set, nil
}

// drop leaves out what the build itself reads or writes: the stack export,
// which can hold secrets (what a container may know of it is written by
// itself), and outputs, which would make every build another one.
func (r *resolution) drop(set *FileSet) {
	if r.o.Stack != "" {
		if rel := r.within(r.o.Stack); set.without(rel, "a stack export can hold secrets", r.o.AllowSecrets) {
			r.warnf("%s stays out: a stack export can hold secrets (--allow-secret %s takes it in)", rel, rel)
		}
	}
	for _, o := range r.o.Outputs {
		set.without(r.within(o), "this build writes it", nil)
	}
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

// repository is where images go: the registry, if the stack has one, and the
// name in it.
func (r *resolution) repository(d zenml.Docker) (registry, name string) {
	registry, prescribed := r.stack.Registry()
	if registry != "" {
		registry += "/"
	}
	return registry, cmp.Or(d.Repository, prescribed, "zenml")
}

// tag is what ZenML tags an image with; empty if the pipeline has no name.
func (r *resolution) tag(i zenml.Image) string {
	switch {
	case i.Docker.ImageTag != "":
		return i.Docker.ImageTag
	case r.o.Pipeline == "":
		return ""
	case !r.facts.ImageTags:
		return r.o.Pipeline
	}
	tag := r.o.Pipeline
	if i.Step != "" {
		tag += "-" + i.Step
	}
	tag += "-" + i.Key
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
