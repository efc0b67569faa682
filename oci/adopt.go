package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// adopt adds what the image already has below dest and what a Copy step would
// give another mode or owner. Only what a step of ours ran or what the base
// may have is looked at: everything else has its final mode already.
func (b *Builder) adopt(ctx context.Context, st *state, set entries, dest string, c plan.Copy) error {
	first := st.own
	if st.wild || mayHave(st.base, c.Dest) {
		first = 0
	}
	if !slices.ContainsFunc(st.layers[first:], func(l laid) bool { return first == 0 || l.ran }) {
		return nil
	}
	if st.missedRun {
		return nil
	}
	view, err := b.glimpse(ctx, st, first, dest)
	if err != nil {
		return err
	}
	uid, gid, err := b.owner(ctx, st, c.Owner)
	if err != nil {
		return err
	}
	for _, e := range view.Below(dest) {
		f := layers.File{Path: e.Path, Mode: e.Mode, UID: ownerOr(c.Owner, uid, e.UID), GID: ownerOr(c.Owner, gid, e.GID), Size: e.Size, Link: e.Link, Time: b.time()}
		if e.Mode&fs.ModeSymlink == 0 {
			f.Mode |= c.AddMode
		}
		if f.Mode == e.Mode && f.UID == e.UID && f.GID == e.GID {
			continue
		}
		if e.Mode.IsDir() {
			set[e.Path], st.dirs[e.Path] = entry{File: f, adopted: true}, f
			continue
		}
		set[e.Path] = entry{File: f, adopted: true}
	}
	return b.adoptContents(ctx, st, set)
}

// adoptContents gives the adopted files among set the contents that they have
// in the layers. The layers are read when the first of them is opened, so a
// layer that is in the cache costs nothing.
func (b *Builder) adoptContents(ctx context.Context, st *state, set entries) error {
	sp := &spool{dir: b.Store.Scratch()}
	for _, name := range sortedNames(set) {
		e := set[name]
		if !e.Mode.IsRegular() || e.Open != nil {
			continue
		}
		l, source, err := b.provider(ctx, st, name)
		if err != nil {
			return err
		}
		e.Size, e.content = source.Size, l.diffID.String()+" "+source.Path
		e.sum = source.Sum
		e.Open = func() (io.ReadCloser, error) { return sp.open(ctx, l.diffID.String(), source.Path) }
		sp.want(l.diffID.String(), source.Path, l.Uncompressed)
		set[name] = e
	}
	return nil
}

// provider returns the layer that holds the content of a file, and the entry
// that holds it there.
func (b *Builder) provider(ctx context.Context, st *state, name string) (laid, layers.Entry, error) {
	for i := len(st.layers) - 1; i >= 0; i-- {
		list, err := b.listing(ctx, st.layers[i])
		if err != nil {
			return laid{}, layers.Entry{}, err
		}
		for range 2 { // a hard link, then what it links to
			at := slices.IndexFunc(list.Entries, func(e layers.Entry) bool { return e.Path == name && !e.Whiteout })
			if at < 0 {
				break
			}
			e := list.Entries[at]
			if !e.HardLink {
				return st.layers[i], e, nil
			}
			name = e.Link
		}
	}
	return laid{}, layers.Entry{}, fmt.Errorf("no layer holds /%s", name)
}

func sortedNames(set entries) []string {
	var names []string
	for _, e := range set.sorted() {
		names = append(names, e.Path)
	}
	return names
}
