package dockerfile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"

	"github.com/kanso-build/kanso/resolve/plan"
)

// defaultPath is the PATH of images whose configuration has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// resolve finds the stages that the target needs and learns of their bases,
// whose ONBUILD instructions may need more.
func (l *lowering) resolve(ctx context.Context, target *state) (map[*state]bool, error) {
	for {
		reachable := reach(target)
		if err := l.resolveBases(ctx, reachable); err != nil {
			return nil, err
		}
		more := false
		for _, s := range l.states {
			if !reachable[s] || s.triggered {
				continue
			}
			s.triggered = true
			added, err := l.trigger(s)
			if err != nil {
				return nil, place(err, s.Location)
			}
			more = more || added
		}
		if !more {
			return reachable, nil
		}
	}
}

// resolveBases finds out what the names of bases stand for, and asks for the
// configurations of those that are needed, all at once. Names that no image can
// have are refused, also where the stage is not needed.
func (l *lowering) resolveBases(ctx context.Context, needed map[*state]bool) error {
	var ask []*state
	for _, s := range l.states {
		if s.base != nil || s.resolved {
			continue
		}
		s.resolved = needed[s]
		if err := l.nameBase(s); err != nil {
			return place(err, s.Location)
		}
		if needed[s] && !s.foreign && s.begin.Image != "" && s.begin.Image != scratch {
			ask = append(ask, s)
		}
	}
	answers := l.ask(ctx, ask)
	for _, s := range ask {
		answer := answers[baseKey{s.begin.Image, s.begin.Platform}]
		if answer.err != nil {
			return place(l.suggestStage(answer.err, s.BaseName), s.Location)
		}
		if answer.config.OS == windows {
			return place(errWindows(s.begin.Image), s.Location)
		}
		s.config = answer.config
		l.lintBase(s)
	}
	return nil
}

// A baseKey is what configurations are asked by.
type baseKey struct{ ref, platform string }

// An answer is a configuration, or why there is none.
type answer struct {
	config Config
	err    error
}

// ask asks for the configurations of bases, each once.
func (l *lowering) ask(ctx context.Context, states []*state) map[baseKey]*answer {
	answers := map[baseKey]*answer{}
	var all sync.WaitGroup
	for _, s := range states {
		key := baseKey{s.begin.Image, s.begin.Platform}
		if answers[key] != nil {
			continue
		}
		a := &answer{}
		answers[key] = a
		all.Go(func() { a.config, a.err = l.bases.Config(ctx, key.ref, key.platform) })
	}
	all.Wait()
	return answers
}

// reach is a state with all that it needs.
func reach(target *state) map[*state]bool {
	found := map[*state]bool{}
	var add func(s *state)
	add = func(s *state) {
		if s == nil || found[s] {
			return
		}
		found[s] = true
		add(s.base)
		for _, n := range s.needs {
			add(n.state)
		}
	}
	add(target)
	return found
}

// nameBase finds out what a name is that is no stage's.
func (l *lowering) nameBase(s *state) error {
	switch {
	case s.foreign && s.from != nil:
		return nil
	case s.from != nil: // a context stands for the stage, and its commands for nothing
		s.dispatched = true
		s.begin = l.onPlatform(*s.from, s)
		s.from = &s.begin
		return nil
	}
	s.dispatched = s.foreign
	if s.BaseName == scratch {
		s.begin, s.platform = plan.Source{Image: scratch}, nil // nothing is for the target, whatever its flag says
	} else {
		ref, err := reference.ParseNormalizedNamed(s.BaseName)
		if err != nil {
			return fmt.Errorf("image %q: %w", s.BaseName, err)
		}
		from, ok := l.context(reference.TagNameOnly(ref).String(), s.platform)
		if !ok {
			from = plan.Source{Image: imageName(s.BaseName, ref)}
		}
		s.begin = l.onPlatform(from, s)
	}
	if s.foreign {
		s.from = &s.begin
	} else if s.begin.Image == "" || s.begin.Image == scratch {
		s.config = l.emptyConfig()
	}
	return nil
}

// onPlatform is a source with the platform that a state wants of an image.
func (l *lowering) onPlatform(from plan.Source, s *state) plan.Source {
	if from.Image != "" && from.Image != scratch {
		from.Platform = l.platformOf(s)
	}
	return from
}

// emptyConfig is that of an image of which there is only the platform.
func (l *lowering) emptyConfig() Config {
	return Config{
		WorkingDir: "/", Env: []plan.Var{{Name: "PATH", Value: defaultPath}},
		OS: l.target.OS, Architecture: l.target.Architecture, Variant: l.target.Variant,
	}
}

// imageName is how a plan names an image: as it stands in the file, unless a
// plan would take that for a layout or an archive on disk.
func imageName(as string, ref reference.Named) string {
	for _, scheme := range []string{"oci:", "oci-archive:", "docker-archive:"} {
		if strings.HasPrefix(as, scheme) {
			return ref.String()
		}
	}
	return as
}

// platformOf is the platform of a state's base as plans have it.
func (l *lowering) platformOf(s *state) string {
	switch {
	case s.platform != nil:
		return format(*s.platform)
	case l.explicit:
		return format(l.target)
	}
	return ""
}

// suggestStage adds the stage that was probably meant.
func (l *lowering) suggestStage(err error, name string) error {
	if found, ok := suggest.Search(name, sorted(l.names), true); ok {
		return fmt.Errorf("%w (did you mean stage %s?)", err, found)
	}
	return err
}

// trigger adds the ONBUILD instructions of the base in front of a stage's own.
// It says whether one has files of another stage.
func (l *lowering) trigger(s *state) (more bool, err error) {
	texts := s.config.OnBuild
	if s.base != nil {
		texts = nil
		for _, c := range s.base.commands {
			if on, ok := c.Command.(*instructions.OnbuildCommand); ok {
				texts = append(texts, on.Expression)
			}
		}
	}
	if s.from != nil { // nothing is carried out in it
		return false, nil
	}
	var added []command
	for _, text := range texts {
		c, err := l.parseTrigger(text, s)
		if err != nil {
			return false, inTrigger(text, err)
		}
		added = append(added, c)
		l.depend(s, c)
		more = more || len(c.sources) > 0
	}
	s.commands = append(added, s.commands...)
	return more, nil
}

// inTrigger says which ONBUILD instruction an error is in. A place in it, which
// is none in the file, is left out.
func inTrigger(text string, err error) error {
	var at *parser.LocationError
	if errors.As(err, &at) {
		err = plain(at.Unwrap())
	}
	first, _, _ := strings.Cut(text, "\n")
	return fmt.Errorf("ONBUILD %s: %w", first, err)
}

// parseTrigger reads one ONBUILD instruction of a base.
func (l *lowering) parseTrigger(text string, s *state) (c command, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parser: %v", r)
		}
	}()
	read, err := parse([]byte(text))
	if err != nil {
		return command{}, err
	}
	if len(read.AST.Children) != 1 {
		return command{}, errors.New("it is not one instruction")
	}
	node := read.AST.Children[0]
	node.StartLine, node.EndLine = span(s.Location)
	// Without a linter BuildKit's parser panics at a comment with "check=".
	instruction, err := instructions.ParseInstructionWithLinter(node, linter.New(&linter.Config{}))
	if err != nil {
		return command{}, err
	}
	ic, ok := instruction.(instructions.Command)
	if !ok {
		return command{}, fmt.Errorf("%s is not allowed here", strings.ToUpper(node.Value))
	}
	c, err = l.command(ic)
	c.trigger = text
	return c, err
}

// span are the first and the last line of a location.
func span(at []parser.Range) (start, end int) {
	for i, r := range at {
		if i == 0 || r.Start.Line < start {
			start = r.Start.Line
		}
		end = max(end, r.End.Line)
	}
	return start, end
}
