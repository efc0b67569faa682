package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
)

// trees returns the unpacked layers of the state, topmost first. What is not
// in the store is fetched, several layers at once, and unpacked from the bottom
// up, since a layer may leave out directories that one below it has.
func (b *Builder) trees(ctx context.Context, st *state, r Runner) (dirs []string, release func(), err error) {
	var releases []func()
	release = func() {
		for _, f := range releases {
			f()
		}
	}
	fetching, cancel := context.WithCancel(ctx)
	defer cancel()
	files := b.fetchAhead(fetching, st, r)
	for i := 0; i < len(st.layers); i++ {
		l := st.layers[i]
		if dir, rel, ok := b.joint(ctx, st, r, i); ok {
			releases = append(releases, rel)
			dirs = slices.Insert(dirs, 0, dir)
			i += l.above
			continue
		}
		below := slices.Clone(dirs)
		dir, rel, err := b.Store.Tree(ctx, r.Trees(), chainID(st.hashes()[:i+1]), func(dir string) error {
			file, err := files[i]()
			if err != nil {
				return err
			}
			return b.unpack(ctx, r, l, file, UnpackArgs{Dir: dir, Below: below, Owners: layers.Owners(r.Owners()), DiffID: l.diffID.String()})
		})
		if err != nil {
			release()
			return nil, nil, fmt.Errorf("unpack layer %d: %w", i+1, err)
		}
		releases = append(releases, rel)
		dirs = slices.Insert(dirs, 0, dir)
	}
	return dirs, release, nil
}

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

// fetchAhead starts to fetch the layers that have no tree. Each function it
// returns waits for one layer and returns its file.
func (b *Builder) fetchAhead(ctx context.Context, st *state, r Runner) []func() (string, error) {
	var g errgroup.Group
	g.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	out := make([]func() (string, error), len(st.layers))
	joined := 0
	for i, l := range st.layers {
		if n := st.jointAt(i); n > 1 && b.Store.HasTree(r.Trees(), treeOf(st.hashes()[:i+n], n)) {
			joined = i + n
		}
		if s, ok := l.Layer.(storedLayer); ok {
			out[i] = func() (string, error) { return s.file, nil }
			continue
		}
		if i < joined || b.Store.HasTree(r.Trees(), chainID(st.hashes()[:i+1])) {
			out[i] = func() (string, error) { return b.Client.Fetch(ctx, l.Layer) }
			continue
		}
		var file string
		var err error
		done := make(chan struct{})
		g.Go(func() error {
			defer close(done)
			file, err = b.Client.Fetch(ctx, l.Layer)
			return nil
		})
		out[i] = func() (string, error) { <-done; return file, err }
	}
	return out
}

// unpack turns the file of a layer into a tree and keeps the list of what it
// holds.
func (b *Builder) unpack(ctx context.Context, r Runner, l laid, file string, args UnpackArgs) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var out bytes.Buffer
	if err := r.Call(ctx, sandbox.Call{Verb: "unpack", Args: args, In: f, Out: &out}); err != nil {
		return err
	}
	var list layers.Listing
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		return fmt.Errorf("read listing of layer %s: %w", l.diffID, err)
	}
	return b.keepListing(l.diffID, list)
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
