package oci

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/resolve/plan"
)

// An early does what is after an Install while that resolves and downloads, which
// leaves processors idle: it makes layers of files that are copied, and guesses
// at an Install, see [early.guess]. What such a layer holds is its key, so one
// that is made early is the one that its step would make; a step that finds none
// under its key makes its own. It is used for the first Install of a plan that
// runs.
type early struct {
	mu     sync.Mutex
	begun  bool
	wanted bool                  // a step asked for files: what was not begun is its own
	works  map[string]*earlyWork // by key
	under  sync.WaitGroup
	cancel context.CancelFunc
}

// earlyWork is the layers of a work, once done is closed.
type earlyWork struct {
	stored string // the key that they are kept under
	asked  bool   // by its step, which keeps them
	done   chan struct{}
	list   []made
	err    error

	guessed *guessed // nil if it is none
}

// make begins to make what the steps after the one under way copy, the first
// time. The state is not changed.
func (e *early) make(ctx context.Context, b *Builder, st *state) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.begun || st.stage == nil || st.dry {
		return
	}
	e.begun = true
	ctx, e.cancel = context.WithCancel(ctx)
	guess := st.fork(st.stage)
	guess.wild = st.wild
	e.under.Go(func() { _ = e.after(ctx, b, guess) }) // its step meets the error, too, and says so
}

// after makes the layers of Copy steps that nothing but Installs and what we
// write ourselves is before, and guesses at an Install that comes next.
func (e *early) after(ctx context.Context, b *Builder, st *state) error {
	var g errgroup.Group
	g.SetLimit(min(sideBySide, runtime.GOMAXPROCS(0)))
	defer func() { _ = g.Wait() }() // each keeps its own
	under, next := st.stage.Steps[st.at], true
	for st.at++; st.at < len(st.stage.Steps); st.at++ {
		switch s := st.stage.Steps[st.at].(type) {
		case plan.Run:
			return nil
		case plan.Set:
			st.set(s)
		case plan.Install:
			if next && bringsInstaller(under, s) {
				if err := e.guess(ctx, b, st, s); err != nil {
					return err
				}
			}
			next = false
		case plan.Write:
			next = false
		case plan.Copy:
			next = false
			if selects(s) || st.wild {
				return nil
			}
			if err := e.copy(ctx, b, st, s, &g); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy begins to make the layers of a Copy.
func (e *early) copy(ctx context.Context, b *Builder, st *state, c plan.Copy, g *errgroup.Group) error {
	set, err := b.copied(ctx, st, c)
	if err != nil {
		return err
	}
	works, err := b.filesWorks(st, work{step: c.String(), kind: c.Kind(), adopts: c.Adopt}, set)
	if err != nil {
		return err
	}
	for _, w := range works {
		e.begin(ctx, b, st, w, g)
	}
	return nil
}

// begin makes one layer, if it is not there.
func (e *early) begin(ctx context.Context, b *Builder, st *state, w work, g *errgroup.Group) {
	if found, err := b.find(ctx, st, w); err != nil || len(found.list) > 0 {
		return
	}
	g.Go(func() error {
		if l := e.take(b, w, nil); l != nil {
			l.make(ctx, w)
			if l.err == nil && st.last() && !b.stopsAt(l.list) {
				b.Ahead.sendApart(b.laid(l.list))
			}
		}
		return nil
	})
}

// make does the work.
func (l *earlyWork) make(ctx context.Context, w work) {
	defer close(l.done)
	l.list, l.err = w.make(ctx)
}

// take notes that a work is being done; nil if it is not to be.
func (e *early) take(b *Builder, w work, g *guessed) *earlyWork {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted || e.works[w.key] != nil {
		return nil
	}
	if e.works == nil {
		e.works = map[string]*earlyWork{}
	}
	l := &earlyWork{stored: b.storeKey(w), done: make(chan struct{}), guessed: g}
	e.works[w.key] = l
	return l
}

// ask returns what is, or was, done early of a step's work; nil if nothing is. If an
// Install asks, a guess at something else that no step has asked for is given up:
// it is wrong, or of another stage, whose step does its work itself then.
func (e *early) ask(w work) *earlyWork {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted = e.wanted || e.begun && w.install == nil
	l := e.works[w.key]
	if l != nil {
		l.asked = true
	}
	for key, o := range e.works {
		if w.install != nil && o.guessed != nil && !o.asked {
			o.guessed.cancel()
			delete(e.works, key)
		}
	}
	return l
}

// early is what does a work, or waits for it if that was begun before.
func (c *course) early(w work) func(ctx context.Context) ([]made, error) {
	if c == nil {
		return w.make
	}
	return func(ctx context.Context) ([]made, error) {
		l := c.ahead.ask(w)
		if l == nil {
			return w.make(ctx)
		}
		if l.guessed != nil {
			l.guessed.held.release()
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if l.guessed != nil {
			*w.install.report = *l.guessed.report
			return l.list, l.err
		}
		if l.err != nil {
			return w.make(ctx)
		}
		return l.list, nil
	}
}

// end gives up what is under way. What no step has asked for, as the installer
// failed, is kept for the next build.
func (e *early) end(b *Builder) {
	e.mu.Lock()
	cancel := e.cancel
	e.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	e.under.Wait()
	for _, l := range e.works {
		if !l.asked && l.err == nil {
			_, err := b.keep(l.stored, l.list)
			b.noteError("keep layer", err)
		}
	}
}
