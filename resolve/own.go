package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

// DockerfileOptions say how a Dockerfile of the user's own is built. Their names
// are those of docker build.
type DockerfileOptions struct {
	// File is what the Dockerfile is called in messages; Text is its content.
	File string
	Text []byte
	// Beside is where the Dockerfile is on disk: an ignore file of its own may
	// be beside it. It is empty if it came from elsewhere.
	Beside string
	// Context is the build context; empty for one without files.
	Context string
	// Whole says that nothing of the context is ignored.
	Whole bool
	// Ignore takes the place of the ignore file that is found otherwise.
	Ignore string

	BuildArgs map[string]string
	Target    string
	Labels    map[string]string
	// Platform and Build are the platforms that the image is for and that it is
	// built on, os/arch[/variant]; if Platform is empty the bases decide.
	Platform, Build string
	// Contexts are further build contexts by name: a directory, which is in
	// Dirs under the same name, or an image.
	Contexts map[string]plan.Source
	Dirs     map[string]string
	// Network, Hosts, Ulimits and ShmSize are those of every RUN, as in
	// [plan.Run].
	Network string
	Hosts   []string
	Ulimits []plan.Ulimit
	ShmSize int64
	// only are all paths of the context that there are, if something else than
	// Docker's reading of an ignore file decided; nil lets that decide.
	only map[string]bool
	// alone is the name that the Dockerfile has in a context with nothing else.
	alone string
	// Lend names the package managers whose settings the host lends to every
	// RUN, as in [plan.Run].
	Lend []string
}

// Dockerfile decides what the image of a Dockerfile is made of. Errors about it
// name file and line. What of the Dockerfile cannot be done is an error, too;
// nothing of it is left out.
func Dockerfile(ctx context.Context, o DockerfileOptions, bases Bases) (Result, error) {
	low, warnings, err := lowerFile(ctx, o, bases)
	if err != nil {
		return Result{}, err
	}
	files, err := filesOf(low.Plan, o)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Images:  []Image{{Plan: low.Plan, StepEnv: low.StepEnv, Contexts: o.Dirs, Epoch: low.Epoch}},
		Context: o.Context, Warnings: warnings, Files: files,
	}, nil
}

// filesOf are the files of the build context that steps of a plan may need.
func filesOf(p plan.Plan, o DockerfileOptions) (FileSet, error) {
	set := FileSet{Root: o.Context, unasked: "no step asks for it"}
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			set.Paths = append(set.Paths, asked(step)...)
		}
	}
	slices.Sort(set.Paths)
	set.Paths = slices.Compact(set.Paths)
	if o.Whole {
		return set, nil
	}
	ignore, err := readIgnoreFile(o.Ignore, o.Beside, o.Context)
	set.IgnoreFile, set.rules.file = ignore.file, ignore.file
	if err == nil {
		err = set.rules.readDocker(string(ignore.data))
	}
	return set, err
}

// asked are the files of the build context that a step may need.
func asked(step plan.Step) (files []string) {
	add := func(from plan.Source, more []string) {
		if inContext(from) && from.Context == "" {
			files = append(files, more...)
		}
	}
	switch step := step.(type) {
	case plan.Copy:
		add(step.From, step.Files)
	case plan.Run:
		for _, m := range step.Mounts {
			add(m.From, m.Files)
		}
	}
	return files
}

// lowerFile turns a Dockerfile into a plan whose steps have their files.
func lowerFile(ctx context.Context, o DockerfileOptions, bases Bases) (dockerfile.Lowered, []string, error) {
	f := filler{
		file: o.File, text: strings.Split(string(o.Text), "\n"),
		contexts: map[string]*buildContext{}, dirs: maps.Clone(o.Dirs), taken: map[string]map[string]bool{},
	}
	var ignore ignorePatterns
	if !o.Whole {
		var err error
		if ignore, err = readIgnoreFile(o.Ignore, o.Beside, o.Context); err != nil {
			return dockerfile.Lowered{}, nil, err
		}
	}
	f.contexts[""] = newContext(o.Context, ignore)
	f.contexts[""].only, f.contexts[""].alone = o.only, o.alone
	low, err := dockerfile.Lower(ctx, o.Text, dockerfile.Options{
		File: o.File, BuildArgs: o.BuildArgs, Target: o.Target, Platform: o.Platform, Build: o.Build, Labels: o.Labels,
		Contexts: o.Contexts, Ignore: ignore.texts, Network: o.Network, Hosts: o.Hosts, Ulimits: o.Ulimits, ShmSize: o.ShmSize,
	}, bases)
	if err != nil {
		return low, nil, err
	}
	var warnings []string
	for _, w := range low.Warnings {
		warnings = append(warnings, warning(o.File, w))
	}
	for i := range low.Plan.Stages {
		if err := f.stage(ctx, &low.Plan.Stages[i], o.Lend); err != nil {
			return low, nil, err
		}
	}
	f.parents(low.Plan.Stages)
	return low, warnings, nil
}

// warning is a warning about a line, for people.
func warning(file string, w dockerfile.Warning) string {
	text := file + ": " + w.Text
	if w.Line > 0 {
		text = fmt.Sprintf("%s:%d: %s", file, w.Line, w.Text)
	}
	if w.Rule != "" {
		text += " (" + w.Rule + ")"
	}
	return text
}

// A filler gives the steps of a Dockerfile the files that they may need.
type filler struct {
	file     string
	text     []string                 // its lines
	contexts map[string]*buildContext // by name, that without one being the main one
	dirs     map[string]string
	taken    map[string]map[string]bool // what steps need of each context
}

// parents gives patterns that nothing matches the directory that they look in, if
// another step needs something in it. BuildKit sends all that is needed of a
// context at once: whether the directory is there is a matter of all steps.
func (f *filler) parents(stages []plan.Stage) {
	for _, s := range stages {
		for i, step := range s.Steps {
			c, ok := step.(plan.Copy)
			if !ok || !inContext(c.From) {
				continue
			}
			for _, p := range c.Patterns {
				dir := fixedParts(p)
				for ; f.taken[c.From.Context][dir] && !slices.Contains(c.Files, dir); dir = path.Dir(dir) {
					c.Files = append(slices.Clip(c.Files), dir)
				}
			}
			slices.Sort(c.Files)
			s.Steps[i] = c
		}
	}
}

// fixedParts is the directory of a context that a pattern looks in.
func fixedParts(pattern string) string {
	dir := "."
	for _, p := range splitPath(pattern, false) {
		if p.wild() {
			break
		}
		dir = path.Join(dir, p.name)
	}
	return dir
}

// take notes what a step needs of a context.
func (f *filler) take(from string, files []string) {
	if f.taken[from] == nil {
		f.taken[from] = map[string]bool{}
	}
	for _, p := range files {
		f.taken[from][p] = true
	}
}

func (f *filler) stage(ctx context.Context, s *plan.Stage, lend []string) error {
	for i, step := range s.Steps {
		var err error
		switch step := step.(type) {
		case plan.Copy:
			err = f.copy(ctx, &step)
			s.Steps[i] = step
		case plan.Run:
			step.Packages = slices.Clone(lend)
			err = f.mounts(ctx, &step)
			s.Steps[i] = step
		}
		if err != nil {
			return f.at(s.Line(i), err)
		}
	}
	return nil
}

// at puts an error in its place in the Dockerfile.
func (f *filler) at(where string, err error) error {
	n, convErr := strconv.Atoi(where[strings.LastIndexByte(where, ':')+1:])
	if convErr != nil || n < 1 || n > len(f.text) {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	return &dockerfile.Error{File: f.file, Line: n, Text: strings.TrimSpace(f.text[n-1]), Err: err}
}

// context is the one that a source is in; nil if it is in none.
func (f *filler) context(from plan.Source) (*buildContext, error) {
	if !inContext(from) {
		return nil, nil //nolint:nilnil // it is elsewhere
	}
	if c, ok := f.contexts[from.Context]; ok {
		return c, nil
	}
	dir, ok := f.dirs[from.Context]
	if !ok {
		return nil, fmt.Errorf("no build context %q", from.Context)
	}
	ignore, err := readIgnoreFile("", "", dir)
	if err != nil {
		return nil, err
	}
	f.contexts[from.Context] = newContext(dir, ignore)
	return f.contexts[from.Context], nil
}

// inContext says whether a source is a build context.
func inContext(from plan.Source) bool {
	return from.Stage == "" && from.Image == "" && from.URL == "" && from.Git == "" && from.Inline == nil
}

func (f *filler) copy(ctx context.Context, c *plan.Copy) error {
	from, err := f.context(c.From)
	if err != nil || from == nil {
		return err
	}
	var missing []string
	if c.Files, missing, err = from.choose(ctx, c.Patterns, c.Parents); err != nil {
		return err
	}
	f.take(c.From.Context, c.Files)
	return from.lacks(c.From.Context, missing)
}

func (f *filler) mounts(ctx context.Context, r *plan.Run) error {
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if m.Type != plan.MountBind && (m.Type != plan.MountCache || m.From.Context == "") {
			continue
		}
		from, err := f.context(m.From)
		if err != nil {
			return err
		}
		if from == nil {
			continue
		}
		var missing []string
		if m.Files, missing, err = from.chooseLiteral(ctx, m.Path); err != nil {
			return err
		}
		f.take(m.From.Context, m.Files)
		if err := from.lacks(m.From.Context, missing); err != nil {
			return err
		}
	}
	return nil
}

// lacks is the error for what was asked for and is not there.
func (c *buildContext) lacks(name string, missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	where := "the build context"
	if name != "" {
		where += " " + name
	}
	if c.root == "" && c.alone == "" {
		return fmt.Errorf("%s: not found: %s has no files", missing[0], where)
	}
	text := fmt.Sprintf("%s: not found in %s", missing[0], where)
	if why := c.why(missing[0]); why != "" {
		text += ": " + why
	}
	return errors.New(text)
}

// envOf is the environment of a plan's last stage.
func envOf(ctx context.Context, p plan.Plan, bases Bases) (map[string]string, error) {
	env := map[string]string{}
	stage := p.Stages[len(p.Stages)-1]
	var chain []plan.Stage
	for ; ; stage = p.Stages[slices.IndexFunc(p.Stages, func(s plan.Stage) bool { return s.Name == stage.BaseStage })] {
		chain = append(chain, stage)
		if stage.BaseStage == "" {
			break
		}
	}
	if stage.Base != "scratch" {
		config, err := bases.Config(ctx, stage.Base, stage.Platform)
		if err != nil {
			return nil, err
		}
		for _, v := range config.Env {
			env[v.Name] = v.Value
		}
	}
	for _, stage := range slices.Backward(chain) {
		for _, step := range stage.Steps {
			if set, ok := step.(plan.Set); ok {
				for _, v := range set.Env {
					env[v.Name] = v.Value
				}
			}
		}
	}
	return env, nil
}
