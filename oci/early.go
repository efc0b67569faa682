package oci

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/resolve/plan"
)

// An early makes layers of files that are copied after an Install while that
// resolves and downloads, which leaves processors idle. What such a layer holds
// is its key, so one that is made early is the one that its step would make; a
// step that finds none under its key makes its own. It is used for the first Install
// of a plan that runs.
type early struct {
	mu     sync.Mutex
	begun  bool
	wanted bool                   // a step asked: what was not begun is its own
	layers map[string]*earlyLayer // by key
	under  sync.WaitGroup
	cancel context.CancelFunc
}

// earlyLayer is a layer, once done is closed.
type earlyLayer struct {
	stored string // the key that it is kept under
	asked  bool   // by its step, which keeps it
	done   chan struct{}
	list   []made
	err    error
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
	e.under.Go(func() { _ = e.copies(ctx, b, guess) }) // its step meets the error, too, and says so
}

// copies makes the layers of Copy steps that nothing but Installs and what we
// write ourselves is before.
func (e *early) copies(ctx context.Context, b *Builder, st *state) error {
	var g errgroup.Group
	g.SetLimit(min(sideBySide, runtime.GOMAXPROCS(0)))
	defer func() { _ = g.Wait() }() // each keeps its own
	for st.at++; st.at < len(st.stage.Steps); st.at++ {
		switch s := st.stage.Steps[st.at].(type) {
		case plan.Run:
			return nil
		case plan.Set:
			st.set(s)
		case plan.Copy:
			if selects(s) || st.wild {
				return nil
			}
			set, err := b.copied(ctx, st, s)
			if err != nil {
				return err
			}
			works, err := b.filesWorks(st, work{step: s.String(), kind: s.Kind(), adopts: s.Adopt}, set)
			if err != nil {
				return err
			}
			for _, w := range works {
				e.begin(ctx, b, st, w, &g)
			}
		}
	}
	return nil
}

// begin makes one layer, if it is not there.
func (e *early) begin(ctx context.Context, b *Builder, st *state, w work, g *errgroup.Group) {
	if found, err := b.find(ctx, st, w); err != nil || len(found.list) > 0 {
		return
	}
	g.Go(func() error {
		if l := e.take(w.key, b.storeKey(w)); l != nil {
			defer close(l.done)
			l.list, l.err = w.make(ctx)
		}
		return nil
	})
}

// take notes that a layer is being made; nil if it is not to be.
func (e *early) take(key, stored string) *earlyLayer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted || e.layers[key] != nil {
		return nil
	}
	if e.layers == nil {
		e.layers = map[string]*earlyLayer{}
	}
	l := &earlyLayer{stored: stored, done: make(chan struct{})}
	e.layers[key] = l
	return l
}

// made returns the layer of a key if it was made, or is being made, early.
func (e *early) made(ctx context.Context, key string) ([]made, bool) {
	e.mu.Lock()
	l := e.layers[key]
	e.wanted = true
	if l != nil {
		l.asked = true
	}
	e.mu.Unlock()
	if l == nil {
		return nil, false
	}
	select {
	case <-l.done:
		return l.list, l.err == nil
	case <-ctx.Done():
		return nil, false
	}
}

// early is what makes a layer of files, or waits for it if that was begun before.
func (c *course) early(w work) func(ctx context.Context) ([]made, error) {
	if c == nil {
		return w.make
	}
	return func(ctx context.Context) ([]made, error) {
		if list, ok := c.ahead.made(ctx, w.key); ok {
			return list, nil
		}
		return w.make(ctx)
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
	for _, l := range e.layers {
		if !l.asked && l.err == nil {
			_, err := b.keep(l.stored, l.list)
			b.noteError("keep layer", err)
		}
	}
}
