package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/secrets"
)

// entry is a file of a layer together with what its content is known by.
type entry struct {
	layers.File
	// content stands for the content in keys; sum is its sha256.
	content, sum string
	// load finds out the content, if that is not known yet.
	load func() (sum string, err error)
	// links is the same number, other than 0, for names of one file.
	links int
	// opaque says that the entry is no file: it hides what lower layers have
	// in the directory Path.
	opaque bool
	// adopted says that the image had the file before the step.
	adopted bool
}

// filesLayer puts a layer of known files on top of the state. A layer without
// entries is left out.
func (b *Builder) filesLayer(ctx context.Context, st *state, w work, list []entry) error {
	if len(list) == 0 {
		return nil
	}
	w, err := b.filesWork(w, list)
	if err != nil {
		return err
	}
	return b.layer(ctx, st, w)
}

// filesWork completes the work for a layer of known files. The key is what the
// layer holds.
func (b *Builder) filesWork(w work, list []entry) (work, error) {
	k := b.filesKey(w.kind, list)
	w.key, w.parts = k.sum(), k.parts
	var err error
	if w.list, err = listingOf(list); err != nil {
		return w, err
	}
	w.make = func(ctx context.Context) ([]made, error) {
		return b.packFiles(ctx, list, *w.list)
	}
	return w, nil
}

// filesKey is the key of a layer of known files.
func (b *Builder) filesKey(kind string, list []entry) *key {
	usual := b.time()
	k := newKey(kind).add("compression", b.Compression.String()).add("time", usual.String())
	for _, e := range list {
		k.add("file", e.Path, e.Mode.String(), strconv.Itoa(e.UID), strconv.Itoa(e.GID), e.Link, e.content)
		if e.HardLink {
			k.add("hard link")
		}
		if e.opaque {
			k.add("opaque")
		}
		if e.Major != 0 || e.Minor != 0 {
			k.add("device", strconv.FormatInt(e.Major, 10), strconv.FormatInt(e.Minor, 10))
		}
		if !e.Time.Equal(usual) {
			k.add("of", strconv.FormatInt(e.Time.Unix(), 10))
		}
		for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
			k.add("attribute", name, e.Xattrs[name])
		}
	}
	return k
}

// packFiles keeps a layer of known files, and its list.
func (b *Builder) packFiles(ctx context.Context, list []entry, listing layers.Listing) ([]made, error) {
	scan := secrets.NewScanner()
	packed, err := b.packTar(ctx, func(w io.Writer) error {
		return layers.Write(ctx, w, func(yield func(layers.File, error) bool) {
			for _, e := range list {
				f := scanned(e.File, scan)
				if e.opaque {
					f = layers.Opaque(e.Path)
				}
				if !yield(f, nil) {
					return
				}
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return []made{{diffID: packed.DiffID, desc: descriptorOf(packed), found: scan.Found()}}, b.keepListing(packed.DiffID, listing)
}

// readAll reads a small file whole.
func readAll(open func() (io.ReadCloser, error)) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if e := r.Close(); err == nil {
		err = e
	}
	return data, err
}

// listingOf is what [layers.List] would say of a layer of the entries.
func listingOf(list []entry) (*layers.Listing, error) {
	l := &layers.Listing{Entries: make([]layers.Entry, len(list))}
	for i, e := range list {
		l.Entries[i] = listed(e)
		if !l.Keeps(l.Entries[i]) || e.Open == nil {
			continue
		}
		data, err := readAll(e.Open)
		if err != nil {
			return nil, fmt.Errorf("read /%s: %w", e.Path, err)
		}
		l.Keep(e.Path, data)
	}
	return l, nil
}

// listed is an entry as a list has it.
func listed(e entry) layers.Entry {
	if e.opaque {
		return layers.Entry{Path: e.Path, Opaque: true}
	}
	out := layers.Entry{
		Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID, Link: e.Link, HardLink: e.HardLink, Major: e.Major, Minor: e.Minor,
	}
	if !e.Time.IsZero() {
		out.Time = e.Time.Unix()
	}
	if e.Mode.IsRegular() && !e.HardLink {
		out.Size, out.Sum = e.Size, e.sum
	}
	for name, value := range e.Xattrs {
		if out.Xattrs == nil {
			out.Xattrs = map[string][]byte{}
		}
		out.Xattrs[name] = []byte(value)
	}
	return out
}

// fileOf is an entry of a view as a file to be written, without its content.
func fileOf(e layers.Entry) layers.File {
	f := layers.File{
		Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID, Major: e.Major, Minor: e.Minor, Time: time.Unix(e.Time, 0).UTC(),
	}
	switch e.Mode.Type() {
	case fs.ModeSymlink:
		f.Link = e.Link
	case 0:
		f.Size = e.Size
	}
	for name, value := range e.Xattrs {
		if f.Xattrs == nil {
			f.Xattrs = map[string]string{}
		}
		f.Xattrs[name] = string(value)
	}
	return f
}

// entries are the files of a layer by their path.
type entries map[string]entry

// sorted is in the order of names, in which every directory precedes what is in
// it, and what hides what lower layers have in it.
func (s entries) sorted() []entry {
	type place struct{ path, key string } // an entry is large to be moved about
	var opaque []place
	paths := make([]string, 0, len(s))
	for key, e := range s {
		if e.opaque {
			opaque = append(opaque, place{e.Path, key})
		} else {
			paths = append(paths, key)
		}
	}
	slices.Sort(paths)
	slices.SortFunc(opaque, func(a, b place) int { return strings.Compare(a.path, b.path) })
	list := make([]entry, 0, len(s))
	for _, p := range paths {
		for len(opaque) > 0 && opaque[0].path < p {
			list, opaque = append(list, s[opaque[0].key]), opaque[1:]
		}
		list = append(list, s[p])
	}
	for _, o := range opaque {
		list = append(list, s[o.key])
	}
	return list
}

// load finds out the contents that are not known, several at a time.
func (s entries) load(ctx context.Context) error {
	var todo []entry
	for _, e := range s {
		if e.load != nil {
			todo = append(todo, e)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range todo {
		g.Go(func() (err error) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			todo[i].sum, err = todo[i].load()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, e := range todo {
		e.load, e.content = nil, e.sum
		s[e.Path] = e
	}
	return nil
}

// link makes hard links of the names of one file, all but the first.
func (s entries) link() {
	first := map[int]string{}
	for _, e := range s.sorted() {
		if e.links == 0 {
			continue
		}
		if at, ok := first[e.links]; ok {
			e.HardLink, e.Link, e.Open, e.Size = true, at, nil, 0
			s[e.Path] = e
			continue
		}
		first[e.links] = e.Path
	}
}

// parents adds the directories above name that are not in the set, as they
// are in the image: a program that unpacks a layer into a place of its own
// would otherwise invent their modes.
func (st *state) parents(set entries, view *layers.View, name string, b *Builder) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := set[dir]; ok {
			continue
		}
		f := layers.File{Path: dir, Mode: fs.ModeDir | 0o755, Time: b.time()}
		known, ours := st.dirs[dir]
		switch {
		case ours && !st.wild:
			f = known
		case view != nil:
			if e, ok := view.Lstat(dir); ok && e.Mode.IsDir() {
				f = fileOf(e)
				f.Path, f.Time = dir, b.time()
			}
		}
		set[dir] = entry{File: f}
	}
}

// ownerOr is id if a step names an owner, else what was there.
func ownerOr(spec string, id, was int) int {
	if spec == "" {
		return was
	}
	return id
}
