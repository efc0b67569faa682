package oci

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// guessed is what an Install that is carried out on a guess has beside its layers.
type guessed struct {
	held   *held
	report *InstallReport
	cancel context.CancelFunc
}

// bringsInstaller says whether a step only installs what another one installs
// with. Most bases have that, and then it leaves nothing.
func bringsInstaller(s plan.Step, next plan.Install) bool {
	first, ok := s.(plan.Install)
	return ok && first.File == "" && first.Requirements == "" && first.Installer != next.Installer
}

// guess carries an Install out on the layers that the state has and an empty one, as
// if the Install under way left that. The key has the layers below: if there is
// more in that one no step asks for what was guessed. What it prints is held back
// until its step asks. The state is not changed.
func (e *early) guess(ctx context.Context, b *Builder, below *state, i plan.Install) error {
	st := below.fork(below.stage)
	st.wild, st.held = below.wild, &held{}
	empty, err := b.emptyLayer(ctx)
	if err != nil {
		return err
	}
	st.add(work{runs: true}, []foundLayer{empty})
	w, err := b.installWork(ctx, st, i)
	if err != nil {
		return err
	}
	if found, err := b.find(ctx, st, w); err != nil || len(found.list) > 0 {
		return err
	}
	g := &guessed{held: st.held, report: w.install.report}
	ctx, g.cancel = context.WithCancel(ctx)
	l := e.take(b, w, g)
	if l == nil {
		g.cancel()
		return nil
	}
	e.under.Go(func() { l.make(ctx, w) })
	return nil
}

// emptyLayer is what a step that changes nothing makes. Its blob is not kept: on a
// disk that a base has just been unpacked to that waits for all of the base.
func (b *Builder) emptyLayer(ctx context.Context) (foundLayer, error) {
	var blob bytes.Buffer
	packed, err := b.packer.Pack(ctx, &blob, b.Compression, func(w io.Writer) error {
		return layers.Write(ctx, w, func(func(layers.File, error) bool) {})
	})
	if err != nil {
		return foundLayer{}, err
	}
	l := foundLayer{Layer: static.NewLayer(blob.Bytes(), packed.MediaType), diffID: packed.DiffID}
	return l, b.keepListing(packed.DiffID, layers.Listing{})
}

// held keeps what is to be told of a step that may never be, until it is released.
// It is for what an installer prints, and not bounded.
type held struct {
	mu       sync.Mutex
	released bool
	waiting  []func()
}

// do calls a function, now or when it is released.
func (h *held) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		f()
		return
	}
	h.waiting = append(h.waiting, f)
}

func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	for _, f := range h.waiting {
		f()
	}
	h.waiting = nil
}

// holds says whether something would be kept; nothing is of a state that is no guess.
func (h *held) holds() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.released
}

// heldWriter writes what it is given once that is released. Errors of the writer are
// not told.
type heldWriter struct {
	h *held
	w io.WriteCloser
}

// Write implements [io.Writer].
func (w heldWriter) Write(p []byte) (int, error) {
	data := slices.Clone(p)
	w.h.do(func() { _, _ = w.w.Write(data) })
	return len(p), nil
}

// Close implements [io.Closer].
func (w heldWriter) Close() error {
	w.h.do(func() { _ = w.w.Close() })
	return nil
}
