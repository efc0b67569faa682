package dockerfile

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// resolveBases resolves all bases that are not yet, and refuses names that no
// image can have, also where the stage is not needed.
func (l *lowering) resolveBases(ctx context.Context, needed map[*state]bool) error {
	for _, s := range l.states {
		if s.base != nil || s.resolved {
			continue
		}
		s.resolved = needed[s]
		if err := l.resolveBase(ctx, s, needed[s]); err != nil {
			return place(err, s.Location)
		}
	}
	return nil
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

// resolveBase finds out what a name is that is no stage's, and for stages that
// are needed what the image's configuration says.
func (l *lowering) resolveBase(ctx context.Context, s *state, needed bool) error {
	if s.foreign {
		s.dispatched = true
	}
	if s.from != nil { // a context stands for the stage, and its commands for nothing
		s.dispatched = true
		return l.configure(ctx, s, *s.from, needed)
	}
	if s.BaseName == scratch {
		s.begin = plan.Source{Image: scratch}
		s.config = l.emptyConfig()
		if s.foreign {
			s.from = &plan.Source{Image: scratch}
		}
		return nil
	}
	ref, err := reference.ParseNormalizedNamed(s.BaseName)
	if err != nil {
		return fmt.Errorf("image %q: %w", s.BaseName, err)
	}
	from, ok := l.context(reference.TagNameOnly(ref).String(), s.platform)
	if !ok {
		from = plan.Source{Image: imageName(s.BaseName, ref)}
	}
	if s.foreign {
		if from.Image != "" && from.Image != scratch {
			from.Platform = l.platformOf(s)
		}
		s.from = &from
		return nil
	}
	return l.configure(ctx, s, from, needed)
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

// configure learns of the image that a stage begins with, or that it begins
// with the files of a context.
func (l *lowering) configure(ctx context.Context, s *state, from plan.Source, needed bool) error {
	if from.Image != "" && from.Image != scratch {
		from.Platform = l.platformOf(s)
	}
	s.begin = from
	if s.from != nil {
		s.from = &from
	}
	if from.Image == "" || from.Image == scratch {
		if s.from == nil {
			s.config = l.emptyConfig()
		}
		return nil
	}
	if !needed {
		return nil
	}
	key := baseKey{from.Image, from.Platform}
	c, ok := l.known[key]
	if !ok {
		var err error
		if c, err = l.bases.Config(ctx, key.ref, key.platform); err != nil {
			return l.suggestStage(err, s.BaseName)
		}
		if l.known == nil {
			l.known = map[baseKey]Config{}
		}
		l.known[key] = c
	}
	if c.OS == windows {
		return errWindows(from.Image)
	}
	s.config = c
	l.lintBase(s)
	return nil
}

// A baseKey is what configurations are asked by.
type baseKey struct{ ref, platform string }

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
