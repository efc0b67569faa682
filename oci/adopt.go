package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// adopt adds what the image already has below dest and what a Copy step would
// give another mode or owner. Only what a step of ours ran or what the base
// may have is looked at: everything else has its final mode already.
func (b *Builder) adopt(ctx context.Context, st *state, set entries, dest string, c plan.Copy) error {
	first := st.own
	if mayHave(st.base, c.Dest) {
		first = 0
	}
	if !slices.ContainsFunc(st.layers[first:], func(l laid) bool { return first == 0 || l.ran }) {
		return nil
	}
	if st.missedRun {
		return nil
	}
	view, err := b.view(ctx, st, first)
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
			set[e.Path], st.dirs[e.Path] = entry{File: f}, f
			continue
		}
		set[e.Path] = entry{File: f}
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
		e.Open = func() (io.ReadCloser, error) { return sp.open(ctx, l, source.Path) }
		sp.want(l, source.Path)
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

// spool holds contents of files of layers in one temporary file, which has no
// name and goes with the process.
type spool struct {
	dir    string
	wanted map[string]map[string]bool // by diff id, then path
	mu     sync.Mutex
	file   *os.File
	at     map[string][2]int64 // by diff id and path: offset and size
	read   map[string]bool     // by diff id
}

func (s *spool) want(l laid, name string) {
	if s.wanted == nil {
		s.wanted, s.at, s.read = map[string]map[string]bool{}, map[string][2]int64{}, map[string]bool{}
	}
	id := l.diffID.String()
	if s.wanted[id] == nil {
		s.wanted[id] = map[string]bool{}
	}
	s.wanted[id][name] = true
}

func (s *spool) open(ctx context.Context, l laid, name string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := l.diffID.String()
	if !s.read[id] {
		if err := s.fill(ctx, l); err != nil {
			return nil, fmt.Errorf("read layer %s: %w", id, err)
		}
		s.read[id] = true
	}
	at, ok := s.at[id+" "+name]
	if !ok {
		return nil, fmt.Errorf("layer %s holds no /%s: %w", id, name, fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(s.file, at[0], at[1])), nil
}

// fill appends the wanted files of a layer.
func (s *spool) fill(ctx context.Context, l laid) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "spool-")
		if err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
		s.file = f
	}
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	id := l.diffID.String()
	return layers.Each(ctx, r, func(e layers.Entry, content io.Reader) error {
		if !s.wanted[id][e.Path] || !e.Mode.IsRegular() || e.HardLink {
			return nil
		}
		start, err := s.file.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		n, err := io.Copy(s.file, content)
		s.at[id+" "+e.Path] = [2]int64{start, n}
		return err
	})
}
