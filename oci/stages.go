package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/resolve/plan"
)

// course is a plan that is being carried out: its stages side by side, each
// once, and those that the last one does not need not at all.
type course struct {
	b      *Builder
	dry    bool
	stages []*running
	slots  chan struct{} // one for every step under way
	out    sync.Mutex    // of Builder.Output
	fail   context.CancelCauseFunc
	images images
	ahead  early
}

// running is a stage of a course.
type running struct {
	plan.Stage
	number int            // from 1, as it is counted in messages
	label  string         // empty if the plan has no other stage
	on     map[string]int // names of earlier stages that this one refers to → their index
	needed bool
	done   chan struct{}
	state  *state // when done is closed
}

// carryOut returns the states of the stages that were needed, the image's
// last.
func (b *Builder) carryOut(ctx context.Context, p plan.Plan, dry bool) ([]*state, error) {
	c, err := newCourse(b, p, dry)
	if err != nil {
		return nil, err
	}
	// It is cancelled if a stage fails and not at the end: layers of bases are
	// read, with the context that they were found with, long after.
	ctx, c.fail = context.WithCancelCause(ctx)
	defer c.ahead.end(b)
	var g errgroup.Group
	var first error // the others are its consequence and may return sooner
	var once sync.Once
	for _, r := range c.stages {
		if !r.needed {
			continue
		}
		g.Go(func() error {
			err := c.stage(ctx, r)
			if err != nil {
				once.Do(func() { first = err })
				c.fail(err)
			}
			return err
		})
	}
	if g.Wait() != nil {
		return nil, first
	}
	var states []*state
	for _, r := range c.stages {
		if r.needed {
			states = append(states, r.state)
		}
	}
	return states, nil
}

func newCourse(b *Builder, p plan.Plan, dry bool) (*course, error) {
	if len(p.Stages) == 0 {
		return nil, errors.New("plan has no stage")
	}
	c := &course{b: b, dry: dry, slots: make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))}
	named := map[string]int{}
	for i, s := range p.Stages {
		r := &running{Stage: s, number: i + 1, on: map[string]int{}, done: make(chan struct{})}
		for _, name := range references(s) {
			at, ok := named[name]
			if !ok {
				return nil, fmt.Errorf("no stage %q before stage %d", name, r.number)
			}
			r.on[name] = at
		}
		if s.Name != "" {
			named[s.Name] = i
		}
		c.stages = append(c.stages, r)
	}
	c.need(len(c.stages) - 1)
	c.label()
	return c, nil
}

// references are the names of the stages that a stage refers to.
func references(s plan.Stage) []string {
	var names []string
	add := func(name string) {
		if name != "" {
			names = append(names, name)
		}
	}
	add(s.BaseStage)
	for _, step := range s.Steps {
		for _, from := range sources(step) {
			add(from.Stage)
		}
	}
	return names
}

// sources are what a step has files from.
func sources(step plan.Step) []plan.Source {
	switch s := step.(type) {
	case plan.Copy:
		return []plan.Source{s.From}
	case plan.Run:
		list := make([]plan.Source, len(s.Mounts))
		for i, m := range s.Mounts {
			list[i] = m.From
		}
		return list
	}
	return nil
}

// need marks a stage and all that it refers to.
func (c *course) need(i int) {
	r := c.stages[i]
	if r.needed {
		return
	}
	r.needed = true
	for _, on := range r.on {
		c.need(on)
	}
}

// label names the stages if there are several.
func (c *course) label() {
	n := 0
	for _, r := range c.stages {
		if r.needed {
			n++
		}
	}
	for _, r := range c.stages {
		if n < 2 {
			return
		}
		if r.label = r.Name; r.label == "" {
			r.label = fmt.Sprintf("stage %d", r.number)
		}
	}
}

// steps is how many steps the plan has; none outside of a course.
func (c *course) steps() int {
	n := 0
	if c != nil {
		for _, r := range c.stages {
			n += len(r.Steps)
		}
	}
	return n
}

// last says whether a state is that of the image.
func (st *state) last() bool {
	return st.course != nil && st.stage == st.course.stages[len(st.course.stages)-1]
}

// stage carries a stage out.
func (c *course) stage(ctx context.Context, r *running) error {
	st, err := c.begin(ctx, r)
	if err != nil {
		return err
	}
	for i, step := range r.Steps {
		if err := c.step(ctx, st, r, i); err != nil {
			if push := (*notAllowedError)(nil); errors.As(err, &push) {
				return push.err // no step is to blame
			}
			return fmt.Errorf("%s: %w", whereabouts(r, i), err)
		}
		st.wild = st.wild || wild(step, r.Line(i))
	}
	r.state = st
	close(r.done)
	return nil
}

// begin returns the state of a stage before its first step.
func (c *course) begin(ctx context.Context, r *running) (*state, error) {
	if r.BaseStage != "" {
		earlier, err := c.finished(ctx, r.on[r.BaseStage])
		if err != nil {
			return nil, err
		}
		return earlier.fork(r), nil
	}
	base, err := c.b.Client.Base(ctx, r.Base, r.Platform)
	if err != nil {
		return nil, err // says "base NAME" itself
	}
	st, err := newState(base, c.b.Created)
	if err != nil {
		return nil, err
	}
	st.course, st.stage, st.dry = c, r, c.dry
	return st, nil
}

// finished waits for a stage and returns its state, which is not to be changed.
func (c *course) finished(ctx context.Context, i int) (*state, error) {
	select {
	case <-c.stages[i].done:
		return c.stages[i].state, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// earlier returns the finished stage that a stage calls by a name.
func (st *state) earlier(ctx context.Context, name string) (*state, error) {
	if st.course != nil {
		if at, ok := st.stage.on[name]; ok {
			return st.course.finished(ctx, at)
		}
	}
	return nil, fmt.Errorf("no stage %q before this one", name)
}

// step carries out one step, when the stages that it has files from are done
// and not too many others are under way.
func (c *course) step(ctx context.Context, st *state, r *running, i int) error {
	for _, from := range sources(r.Steps[i]) {
		if from.Stage == "" {
			continue
		}
		if _, err := c.finished(ctx, r.on[from.Stage]); err != nil {
			return err
		}
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	st.at = i
	return c.b.step(ctx, st, r.Steps[i])
}

// wild says whether a step is somebody else's, so that nothing tells what it
// left but the layers.
func wild(step plan.Step, line string) bool {
	switch s := step.(type) {
	case plan.Copy:
		return line != "" || len(s.Patterns) > 0 || s.From.Stage != "" || s.From.Image != ""
	case plan.Write:
		return line != "" || s.Missing
	case plan.Run:
		return line != ""
	}
	return false
}

// whereabouts names a step, for errors: by the line it comes from, if that is
// known, and by its stage, if there are several.
func whereabouts(r *running, i int) string {
	where, what := r.Line(i), brief(r.Steps[i])
	if where == "" {
		where = fmt.Sprintf("step %d", i+1)
		if r.label == "" {
			return where + ", " + what
		}
	}
	if r.label != "" {
		return fmt.Sprintf("%s (%s): %s", where, r.label, what)
	}
	return where + ": " + what
}

// note is [Builder.note] with the stage, if there are several.
func (b *Builder) noteIn(st *state, format string, args ...any) {
	text := st.prefix() + fmt.Sprintf(format, args...)
	if st.held != nil {
		st.held.do(func() { b.note("%s", text) })
		return
	}
	b.note("%s", text)
}

// prefix stands before what is said of a stage.
func (st *state) prefix() string {
	if st.stage == nil || st.stage.label == "" {
		return ""
	}
	return "[" + st.stage.label + "] "
}

// output is where the commands of a stage print. It has to be closed.
func (b *Builder) output(st *state) io.WriteCloser {
	switch {
	case b.Output == nil:
		return discard{}
	case st.held != nil:
		told := *st
		told.held = nil
		return heldWriter{st.held, b.output(&told)}
	case st.prefix() == "":
		return unclosed{b.Output}
	}
	return &prefixed{w: b.Output, prefix: st.prefix(), mu: &st.course.out}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// prefixed writes whole lines, each after a prefix, so that those of several
// stages stay apart.
type prefixed struct {
	w      io.Writer
	prefix string
	mu     *sync.Mutex // of w
	line   []byte
}

// maxLine is how many bytes of a line are held back.
const maxLine = 4096

func (p *prefixed) Write(data []byte) (int, error) {
	for _, c := range data {
		p.line = append(p.line, c)
		if c == '\n' || len(p.line) >= maxLine {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(data), nil
}

func (p *prefixed) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.line
	p.line = p.line[:0]
	if line[len(line)-1] != '\n' {
		line = append(line, '\n')
	}
	_, err := p.w.Write(append([]byte(p.prefix), line...))
	return err
}

func (p *prefixed) Close() error {
	if len(p.line) == 0 {
		return nil
	}
	return p.flush()
}
