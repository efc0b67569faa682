package oci

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
)

// trees returns the unpacked layers of the state, topmost first. Those that are
// not in the store are fetched and unpacked, several at once.
func (b *Builder) trees(ctx context.Context, st *state, r Runner) (dirs []string, release func(), err error) {
	w := &wood{b: b, st: st, r: r, slots: make(chan struct{}, max(unpacking, runtime.GOMAXPROCS(0)))}
	w.g, w.ctx = errgroup.WithContext(ctx)
	for i := 0; i < len(st.layers); i++ {
		if st.layers[i].diffID.String() == emptyTar && len(w.trees) > 0 {
			continue
		}
		if dir, rel, ok := b.joint(ctx, st, r, i); ok {
			w.have(dir, rel)
			i += st.layers[i].above
			continue
		}
		if err = w.plant(i); err != nil {
			break
		}
	}
	if err := cmp.Or(w.g.Wait(), err); err != nil {
		w.release()
		return nil, nil, err
	}
	return dirsOf(w.trees), w.release, nil
}

// unpacking is how many layers are unpacked at once, or one for every core if
// these are more.
const unpacking = 3

// wood are the trees of a state, some of which are being made.
type wood struct {
	b     *Builder
	st    *state
	r     Runner
	ctx   context.Context //nolint:containedctx // of the group
	g     *errgroup.Group
	slots chan struct{} // one for every layer that is being unpacked
	trees []*growing    // bottom first
}

// growing is a tree, once done is closed.
type growing struct {
	done    chan struct{}
	dir     string // empty if it could not be made
	release func()
}

// have adds a tree that is there.
func (w *wood) have(dir string, release func()) {
	t := &growing{make(chan struct{}), dir, release}
	close(t.done)
	w.trees = append(w.trees, t)
}

// plant begins with the tree of layer number i. Those below it have a slot before
// it has one, and wait for none above them.
func (w *wood) plant(i int) error {
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	t, below := &growing{done: make(chan struct{})}, slices.Clone(w.trees)
	w.trees = append(w.trees, t)
	w.g.Go(func() error {
		defer close(t.done)
		done := sync.OnceFunc(func() { <-w.slots })
		defer done()
		dir, release, err := w.b.Store.Tree(w.ctx, w.r.Trees(), chainID(w.st.hashes()[:i+1]), func(dir string) error {
			return w.b.fill(w.ctx, w.r, w.st.layers[i], dir, len(below) == 0, func() ([]string, error) { return w.wait(below) }, done)
		})
		if err != nil {
			return fmt.Errorf("unpack layer %d: %w", i+1, err)
		}
		t.dir, t.release = dir, release
		return nil
	})
	return nil
}

// wait waits for trees and returns their directories, topmost first.
func (w *wood) wait(trees []*growing) ([]string, error) {
	for _, t := range trees {
		select {
		case <-t.done:
		case <-w.ctx.Done():
			return nil, context.Cause(w.ctx)
		}
		if t.dir == "" {
			<-w.ctx.Done() // the group ends with why
			return nil, context.Cause(w.ctx)
		}
	}
	return dirsOf(trees), nil
}

// dirsOf are the directories of trees, topmost first.
func dirsOf(trees []*growing) []string {
	var dirs []string
	for _, t := range slices.Backward(trees) {
		dirs = append(dirs, t.dir)
	}
	return dirs
}

// release lets the trees be evicted.
func (w *wood) release() {
	for _, t := range w.trees {
		if t.release != nil {
			t.release()
		}
	}
}

// emptyTar is the diff id of a layer that a command left which changed nothing: two
// blocks of zeros.
const emptyTar = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// errNoTree says that a joint tree is not there.
var errNoTree = errors.New("no tree")

// joint returns the tree that a step left which made several layers, if layer
// number i is the first of them. Where it is not there any more each layer has a
// tree of its own.
func (b *Builder) joint(ctx context.Context, st *state, r Runner, i int) (dir string, release func(), ok bool) {
	n := st.jointAt(i)
	if n < 2 {
		return "", nil, false
	}
	at := treeOf(st.hashes()[:i+n], n)
	if !b.Store.HasTree(r.Trees(), at) {
		return "", nil, false
	}
	dir, release, err := b.Store.Tree(ctx, r.Trees(), at, func(string) error { return errNoTree })
	return dir, release, err == nil
}

// jointAt is how many layers the step made whose first layer has the number i; 0
// if it is not the first. What the history of a base says may not be so.
func (st *state) jointAt(i int) int {
	if above := st.layers[i].above; above < len(st.layers)-i && (i == 0 || st.layers[i-1].above != above+1) {
		return above + 1
	}
	return 0
}

// treeOf names the tree with the topmost n layers of a stack. That of several is
// not the one of the last: each may also have its own.
func treeOf(stack []v1.Hash, n int) v1.Hash {
	chain := chainID(stack)
	if n < 2 {
		return chain
	}
	h, _, _ := v1.SHA256(strings.NewReader("tree of " + strconv.Itoa(n) + " " + chain.String())) // reading memory never fails
	return h
}

// Unpacked returns the unpacked layers of an image, topmost first, for a
// command that is run in it; release must be called when it is done.
func (b *Builder) Unpacked(ctx context.Context, base Base, r Runner) (dirs []string, release func(), err error) {
	st, err := newState(base, b.Created)
	if err != nil {
		return nil, nil, err
	}
	return b.trees(ctx, st, r)
}

// Who looks up whom a command in an image runs as; spec is as USER has it and
// empty for what the image says.
func (b *Builder) Who(ctx context.Context, base Base, spec string) (layers.UserInfo, error) {
	st, err := newState(base, b.Created)
	if err != nil {
		return layers.UserInfo{}, err
	}
	if spec == "" {
		spec = st.config.Config.User
	}
	return b.user(ctx, st, spec)
}

// hashes are the diff ids of all layers, bottom first.
func (st *state) hashes() []v1.Hash {
	ids := make([]v1.Hash, len(st.layers))
	for i, l := range st.layers {
		ids[i] = l.diffID
	}
	return ids
}

// chainID names a stack of layers, bottom first (OCI image specification,
// "Layer ChainID").
func chainID(diffIDs []v1.Hash) v1.Hash {
	chain := diffIDs[0]
	for _, d := range diffIDs[1:] {
		h, _, _ := v1.SHA256(bytes.NewReader([]byte(chain.String() + " " + d.String()))) // reading memory never fails
		chain = h
	}
	return chain
}
