package dockerfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/suggest"

	"github.com/kanso-build/kanso/resolve/plan"
)

const scratch = "scratch"

// A state is a stage of the file, or an image or a context that only the files
// are used of.
type state struct {
	instructions.Stage
	// name is unique in the plan.
	name string
	// platform is that of FROM --platform; nil is the target's.
	platform *platform
	// base is the stage that this one continues.
	base *state
	// from is what stands for the stage: a named context of its name. Images
	// and contexts that are no stage have it, too.
	from *plan.Source
	// begin is the image or the context that the stage begins with; it has
	// none if it has a base.
	begin plan.Source
	// foreign says that this is no stage of the file.
	foreign  bool
	commands []command
	// needs are the states that the commands have files of.
	needs []need

	resolved, dispatched, triggered bool

	config  Config
	env     vars // what expansions and commands see
	args    []string
	cmd     *once
	cmdLine []string
	entry   *once
	health  *once
	// workdir says that the file has set a working directory.
	workdir bool
	// onBuild says that images on top have instructions to carry out.
	onBuild bool

	steps []plan.Step
	lines []string
}

// A command is an instruction and where it has files from: the one source of
// a COPY, or one for each mount of a RUN.
type command struct {
	instructions.Command
	sources []*state
	// trigger is the text of an ONBUILD that made the command.
	trigger string
}

// A need is a state that a command has files of.
type need struct {
	state *state
	at    []parser.Range
}

// once remembers where an instruction stands that counts once.
type once struct{ at []parser.Range }

// makeStates makes a state of each stage.
func (l *lowering) makeStates(stages []instructions.Stage) error {
	l.names = map[string]*state{}
	for _, st := range stages {
		s := &state{Stage: st}
		lint := l.lint.WithMergedConfigFromComments(st.Comments)
		match, err := l.lex.ProcessWordWithMatches(st.BaseName, l.globals)
		l.lintFromArgs(match.Unmatched, st.Location, lint)
		if err != nil {
			return place(err, st.Location)
		}
		if match.Result == "" {
			return place(fmt.Errorf("base name (%s) should not be blank", st.BaseName), st.Location)
		}
		s.BaseName = match.Result
		if err := l.readPlatform(s, lint); err != nil {
			return place(err, st.Location)
		}
		if s.Name != "" {
			if from, ok := l.context(s.Name, s.platform); ok {
				s.from = &from
			}
		}
		l.add(s)
		if s.from != nil {
			s.base = nil
		}
	}
	l.nameStates()
	return nil
}

// readPlatform reads FROM --platform.
func (l *lowering) readPlatform(s *state, lint *linter.Linter) error {
	if s.Platform == "" {
		return nil
	}
	match, err := l.lex.ProcessWordWithMatches(s.Platform, l.globals)
	l.lintFromArgs(match.Unmatched, s.Location, lint)
	l.lintPlatform(s, match, lint)
	if err != nil {
		return fmt.Errorf("platform %s: %w", s.Platform, err)
	}
	if match.Result == "" {
		return l.suggestArg(fmt.Errorf("empty platform value from expression %s", s.Platform), match)
	}
	p, err := platforms.Parse(match.Result)
	if err != nil {
		return l.suggestArg(fmt.Errorf("platform %s: %w", s.Platform, err), match)
	}
	if p.OS == windows {
		return errWindows(match.Result)
	}
	s.platform = &p
	return nil
}

// suggestArg adds the argument that was probably meant.
func (l *lowering) suggestArg(err error, match shell.ProcessWordResult) error {
	for _, k := range sorted(match.Unmatched) {
		if found, ok := suggest.Search(k, l.globals.Keys(), true); ok {
			return fmt.Errorf("%w (did you mean %s?)", err, found)
		}
	}
	return err
}

// add makes a state known, and its base if that is an earlier stage.
func (l *lowering) add(s *state) {
	l.states = append(l.states, s)
	if base, ok := l.names[s.BaseName]; ok {
		s.base = base
	}
	if s.Name != "" {
		l.names[strings.ToLower(s.Name)] = s
	}
}

// nameStates gives each stage a name of its own.
func (l *lowering) nameStates() {
	used := map[string]bool{}
	for _, s := range l.states {
		used[s.Name] = true
	}
	seen := map[string]bool{}
	for i, s := range l.states {
		name := s.Name
		if name == "" || seen[name] {
			name = "stage-" + strconv.Itoa(i)
			for used[name] {
				name += "_"
			}
		}
		used[name], seen[name] = true, true
		s.name = name
	}
}

// find is the stage of a name, in any case; nil if there is none.
func (l *lowering) find(name string) *state { return l.names[strings.ToLower(name)] }

func (l *lowering) findTarget() (*state, error) {
	if l.o.Target == "" {
		return l.states[len(l.states)-1], nil
	}
	if s := l.find(l.o.Target); s != nil {
		return s, nil
	}
	err := fmt.Errorf("target stage %q could not be found", l.o.Target)
	return nil, suggest.WrapError(err, l.o.Target, sorted(l.names), true)
}

// connect finds where commands have their files from.
func (l *lowering) connect() error {
	for i := 0; i < len(l.states); i++ { // foreign ones are added on the way
		s := l.states[i]
		for _, c := range s.Commands {
			cmd, err := l.command(c)
			if err != nil {
				return place(err, c.Location())
			}
			s.commands = append(s.commands, cmd)
			l.depend(s, cmd)
		}
	}
	return l.noCircle()
}

// depend notes what a command of s has files of.
func (l *lowering) depend(s *state, c command) {
	for _, src := range c.sources {
		if src == nil {
			continue
		}
		s.needs = append(s.needs, need{src, c.Location()})
		if src.foreign && !slices.Contains(l.states, src) {
			l.add(src)
		}
	}
}

// command finds the sources of an instruction.
func (l *lowering) command(ic instructions.Command) (command, error) {
	c := command{Command: ic}
	switch ic := ic.(type) {
	case *instructions.CopyCommand:
		if ic.From == "" {
			return c, nil
		}
		src, err := l.copySource(ic)
		c.sources = []*state{src}
		return c, err
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(ic) {
			var src *state
			if m.From != "" {
				src = l.named(m.From, ic.Location())
			}
			c.sources = append(c.sources, src)
		}
	}
	return c, nil
}

// copySource is what COPY --from names: a stage by name or number, or an image
// or a context.
func (l *lowering) copySource(c *instructions.CopyCommand) (*state, error) {
	word, _, err := l.lex.ProcessWord(c.From, vars(nil))
	if err != nil {
		return nil, err
	}
	if word != c.From {
		return nil, errors.New("variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround")
	}
	i, err := strconv.Atoi(c.From)
	switch {
	case err != nil: // a name
		return l.named(c.From, c.Location()), nil //nolint:nilerr // see above
	case i < 0 || i >= len(l.states):
		return nil, fmt.Errorf("invalid stage index %d", i)
	}
	return l.states[i], nil
}

// named is the stage of a name, or else an image or context that is no stage.
func (l *lowering) named(name string, at []parser.Range) *state {
	if s := l.find(name); s != nil {
		return s
	}
	return &state{Stage: instructions.Stage{BaseName: name, Location: at}, foreign: true}
}

// noCircle refuses stages that need each other.
func (l *lowering) noCircle() error {
	visited, path := map[*state]bool{}, map[*state]bool{}
	var visit func(s *state) error
	visit = func(s *state) error {
		if visited[s] {
			return nil
		}
		visited[s], path[s] = true, true
		defer delete(path, s)
		for _, n := range s.needs {
			if path[n.state] {
				return place(fmt.Errorf("circular dependency detected on stage: %s", n.state.name), n.at)
			}
			if err := visit(n.state); err != nil {
				return err
			}
		}
		return nil
	}
	for _, s := range l.states {
		if err := visit(s); err != nil {
			return err
		}
	}
	return nil
}
