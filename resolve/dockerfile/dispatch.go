package dockerfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/system"

	"github.com/kanso-build/kanso/resolve/plan"
)

// A stepper carries out the instructions of one stage.
type stepper struct {
	*lowering
	s    *state
	lint *linter.Linter // of the instruction at hand
	line string         // of the instruction at hand
}

// dispatchStage makes steps of a stage's instructions.
func (l *lowering) dispatchStage(s *state) error {
	d := &stepper{lowering: l, s: s, lint: l.lint}
	s.dispatched = true
	d.at(s.Location)
	if err := d.begin(); err != nil {
		return place(err, s.Location)
	}
	for _, c := range s.commands {
		d.at(c.Location())
		d.lint = l.lint.WithMergedConfigFromComments(c.Comments())
		err := d.dispatch(c)
		if err != nil && c.trigger != "" {
			err = inTrigger(c.trigger, err)
		}
		if err != nil {
			return place(err, c.Location())
		}
	}
	return nil
}

// at says where the next steps come from.
func (d *stepper) at(loc []parser.Range) {
	d.line = ""
	if n := first(loc); n > 0 {
		d.line = fmt.Sprintf("%s:%d", d.src.file, n)
	}
}

// emit adds a step.
func (d *stepper) emit(step plan.Step) {
	d.s.steps = append(d.s.steps, step)
	d.s.lines = append(d.s.lines, d.line)
}

// begin sets up what a stage has from its base, and makes the configuration
// explicit where BuildKit does.
func (d *stepper) begin() error {
	s := d.s
	if b := s.base; b != nil {
		s.config, s.env, s.platform = b.config, slices.Clone(b.env), b.platform
		s.args, s.workdir, s.onBuild = b.args, b.workdir, b.onBuild
	}
	d.enter()
	var set plan.Set
	if s.onBuild { // they are carried out now, or were meant for the stage before
		set.DropOnBuild, s.onBuild = true, false
	}
	s.config.Env = slices.Clone(s.config.Env)
	empty := s.base == nil && (s.begin.Image == "" || s.begin.Image == scratch)
	image := (*vars)(&s.config.Env)
	if path, ok := image.Get("PATH"); !ok || empty {
		if !ok {
			path = defaultPath
		}
		image.replace("PATH", path)
		set.Env = []plan.Var{{Name: "PATH", Value: path}}
	}
	for _, v := range s.config.Env {
		s.env.set(v.Name, v.Value)
	}
	if dir := s.config.WorkingDir; dir != "" {
		clean, err := system.NormalizeWorkdir(dir, dir, "linux")
		if err != nil {
			return err
		}
		if clean != dir || empty {
			set.WorkingDir = clean
		}
		s.config.WorkingDir = clean
	}
	if set.DropOnBuild || set.Env != nil || set.WorkingDir != "" {
		d.emit(set)
	}
	return nil
}

// enter copies the files of the context that a stage begins with, if it does.
func (d *stepper) enter() {
	s := d.s
	if s.base != nil {
		return
	}
	s.onBuild = len(s.config.OnBuild) > 0
	s.config.OnBuild = nil
	if s.begin.Image == "" {
		d.emit(plan.Copy{From: s.begin, Patterns: []string{"."}, Dest: "/", Modes: plan.ModesDisk})
	}
}

// dispatch makes steps of one instruction.
func (d *stepper) dispatch(c command) error {
	if err := d.expand(c.Command); err != nil {
		return err
	}
	switch ic := c.Command.(type) {
	case *instructions.RunCommand:
		return d.run(ic, c.sources)
	case *instructions.CopyCommand:
		from := plan.Source{}
		if len(c.sources) > 0 {
			var err error
			if from, err = d.files(c.sources[0], "copy", ic.From); err != nil {
				return err
			}
		}
		return d.copy(copying{
			SourcesAndDest: ic.SourcesAndDest, from: from, foreign: len(c.sources) > 0, chown: ic.Chown, chmod: ic.Chmod,
			link: ic.Link, parents: ic.Parents, exclude: ic.ExcludePatterns, at: ic.Location(),
		})
	case *instructions.AddCommand:
		return d.copy(copying{
			SourcesAndDest: ic.SourcesAndDest, add: true, chown: ic.Chown, chmod: ic.Chmod, link: ic.Link, exclude: ic.ExcludePatterns,
			keepGit: ic.KeepGitDir, checksum: ic.Checksum, unpack: ic.Unpack, at: ic.Location(),
		})
	case *instructions.ArgCommand:
		return d.arg(ic)
	case *instructions.WorkdirCommand:
		return d.workdir(ic)
	}
	return d.set(c.Command)
}

// files is where the files of a source are, for a command that what names.
func (d *stepper) files(src *state, what, name string) (plan.Source, error) {
	if src.from != nil {
		return *src.from, nil
	}
	if !src.dispatched {
		return plan.Source{}, fmt.Errorf("cannot %s from stage %q, it needs to be defined before current stage %q", what, name, d.s.name)
	}
	return plan.Source{Stage: src.name}, nil
}

// expand replaces variables in an instruction, in place.
func (d *stepper) expand(c instructions.Command) error {
	word := func(lex *shell.Lex) instructions.SingleWordExpander {
		return func(text string) (string, error) {
			out, unmatched, err := lex.ProcessWord(text, d.s.env)
			d.lintUndefined(c, unmatched)
			return out, err
		}
	}
	// The value of an ARG may not be used, and then its mistakes are none.
	if _, isArg := c.(*instructions.ArgCommand); !isArg {
		if e, ok := c.(instructions.SupportsSingleWordExpansion); ok {
			if err := e.Expand(word(d.lex)); err != nil {
				return err
			}
		}
	}
	if e, ok := c.(instructions.SupportsSingleWordExpansionRaw); ok {
		lex := shell.NewLex('\\')
		lex.SkipProcessQuotes = true
		return e.ExpandRaw(word(lex))
	}
	return nil
}

// arg declares build arguments.
func (d *stepper) arg(c *instructions.ArgCommand) error {
	for _, a := range c.Args {
		d.lintSecret("ARG", a.Key, c.Location())
		name := a.Key
		if strings.Contains(name, "$") {
			var err error
			if name, _, err = d.lex.ProcessWord(name, d.s.env); err != nil {
				return err
			}
		}
		value, ok := d.o.BuildArgs[name]
		switch {
		case ok:
		case a.Value != nil:
			var err error
			var unmatched map[string]struct{}
			value, unmatched, err = d.lex.ProcessWord(*a.Value, d.s.env)
			d.lintUndefined(c, unmatched)
			if err != nil {
				return err
			}
			ok = true
		default:
			value, ok = d.globals.Get(name)
		}
		if ok && !hidden(name) {
			d.s.env.set(name, value)
		}
		d.s.args = append(d.s.args[:len(d.s.args):len(d.s.args)], name)
	}
	return nil
}

// hidden says that an argument is for the front end and no variable.
func hidden(name string) bool {
	return name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE"
}

// workdirs are the directories to make for a working directory: the one that it
// is, and before it each that it leaves by "..", as it is not cleaned in the
// configuration and has to be there.
func workdirs(dir string) []plan.File {
	var files []plan.File
	parts := strings.Split(dir, "/")
	for i, part := range parts {
		if left := cleaned(strings.Join(parts[:i], "/")); part == ".." && left != cleaned("/") {
			files = append(files, directory(left))
		}
	}
	return append(files, directory(dir))
}

// workdir sets the working directory, and makes it.
func (d *stepper) workdir(c *instructions.WorkdirCommand) error {
	if !d.s.workdir && !strings.HasPrefix(c.Path, "/") {
		d.lint.Run(&linter.RuleWorkdirRelativePath, c.Location(), linter.RuleWorkdirRelativePath.Format(c.Path))
	}
	d.s.workdir = true
	dir, err := system.NormalizeWorkdir(d.s.config.WorkingDir, c.Path, "linux")
	if err != nil {
		return err
	}
	d.s.config.WorkingDir = dir
	d.emit(plan.Set{WorkingDir: dir})
	if dir != "/" {
		d.emit(plan.Write{Files: workdirs(dir), Owner: owner(d.s.config.User), Missing: true})
	}
	return nil
}
