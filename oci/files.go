package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// bigFile is the size in bytes from which on a copied file stands in a layer
// apart from code, so that a change of code does not send it again.
const bigFile = 4 << 20

// ErrChanged is wrapped by the error for a file that changed while it was read.
var ErrChanged = errors.New("file changed while it was read")

// entry is a file of a layer together with a hash of its content.
type entry struct {
	layers.File
	content string
}

// write makes the layer of a Write step.
func (b *Builder) write(ctx context.Context, st *state, w plan.Write) error {
	uid, gid, err := b.owner(ctx, st, w.Owner)
	if err != nil {
		return err
	}
	set := entries{}
	files := slices.Clone(w.Files)
	slices.SortStableFunc(files, func(a, b plan.File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		view, err := b.destView(ctx, st, f.Path)
		if err != nil {
			return err
		}
		name, err := place(view, f.Path)
		if err != nil {
			return err
		}
		st.parents(set, view, name, b)
		e := entry{File: layers.File{Path: name, Mode: f.Mode, UID: uid, GID: gid, Time: b.time()}}
		switch {
		case f.Mode&fs.ModeSymlink != 0:
			e.Link = f.Data
		case f.Mode.IsRegular():
			sum := sha256.Sum256([]byte(f.Data))
			e.content, e.Size = hex.EncodeToString(sum[:]), int64(len(f.Data))
			e.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.Data)), nil }
		}
		set[name] = e
		if f.Mode.IsDir() {
			st.dirs[name] = e.File
		}
	}
	return b.filesLayer(ctx, st, work{step: w.String(), kind: w.Kind()}, set.sorted())
}

// copy makes the layers of a Copy step: one of big files, if there are any,
// and one of the others.
func (b *Builder) copy(ctx context.Context, st *state, c plan.Copy) error {
	set, err := b.copied(ctx, st, c)
	if err != nil {
		return err
	}
	big := entries{}
	for name, e := range set {
		if e.Size >= bigFile && e.Mode.IsRegular() {
			big[name] = e
			delete(set, name)
		}
	}
	for _, e := range big.sorted() {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if parent, ok := set[dir]; ok {
				big[dir] = parent
			}
		}
	}
	if len(big) > 0 {
		if err := b.filesLayer(ctx, st, work{step: c.String() + " (big files)", kind: c.Kind()}, big.sorted()); err != nil {
			return err
		}
	}
	return b.filesLayer(ctx, st, work{step: c.String(), kind: c.Kind(), adopts: c.Adopt}, set.sorted())
}

// copied returns what a Copy step writes: the files, the directories that lead
// to them, and what is there already and takes the same modes and owner.
func (b *Builder) copied(ctx context.Context, st *state, c plan.Copy) (entries, error) {
	uid, gid, err := b.owner(ctx, st, c.Owner)
	if err != nil {
		return nil, err
	}
	view, err := b.destView(ctx, st, c.Dest)
	if err != nil {
		return nil, err
	}
	dest, err := place(view, path.Join(c.Dest, "x"))
	if err != nil {
		return nil, err
	}
	dest = path.Dir(dest)
	set := entries{}
	if dest != "." {
		st.parents(set, view, path.Join(dest, "x"), b)
		if c.Adopt {
			e := set[dest]
			e.Mode, e.UID, e.GID = e.Mode|c.AddMode, ownerOr(c.Owner, uid, e.UID), ownerOr(c.Owner, gid, e.GID)
			set[dest], st.dirs[dest] = e, e.File
		}
	}
	if c.Adopt {
		if err := b.adopt(ctx, st, set, dest, c); err != nil {
			return nil, err
		}
	}
	list, err := b.contextFiles(ctx, c, dest, uid, gid)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		st.parents(set, view, e.Path, b)
		set[e.Path] = e
		if e.Mode.IsDir() {
			st.dirs[e.Path] = e.File
		}
	}
	return set, nil
}

// contextFiles describes and hashes the step's files, several at a time.
func (b *Builder) contextFiles(ctx context.Context, c plan.Copy, dest string, uid, gid int) ([]entry, error) {
	list := make([]entry, len(c.Files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range c.Files {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			e, err := b.contextFile(name, c)
			if err != nil {
				return err
			}
			e.Path, e.UID, e.GID = path.Join(dest, name), uid, gid
			list[i] = e
			return nil
		})
	}
	return list, g.Wait()
}

// contextFile describes one file of the context.
func (b *Builder) contextFile(name string, c plan.Copy) (entry, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return entry{}, fmt.Errorf("%q leads out of the context", name)
	}
	file := filepath.Join(b.Context, filepath.FromSlash(name))
	info, err := os.Lstat(file)
	if err != nil {
		return entry{}, err
	}
	e := entry{File: layers.File{Mode: copiedMode(info.Mode(), c), Time: b.time()}}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if e.Link, err = os.Readlink(file); err != nil {
			return entry{}, err
		}
		e.Link = filepath.ToSlash(e.Link)
	case info.Mode().IsRegular():
		h, err := b.hash(file, info)
		if err != nil {
			return entry{}, err
		}
		e.content, e.Size = h.Hex, info.Size()
		e.Open = func() (io.ReadCloser, error) { return openSame(file, info) }
	case !info.IsDir():
		return entry{}, fmt.Errorf("%s is neither file, directory nor link", name)
	}
	return e, nil
}

// copiedMode is the mode that a file of the context has in the image.
func copiedMode(m fs.FileMode, c plan.Copy) fs.FileMode {
	switch {
	case m&fs.ModeSymlink != 0:
		return fs.ModeSymlink | 0o777
	case c.Modes == plan.ModesDisk:
		return m | c.AddMode
	case m.IsDir():
		return fs.ModeDir | 0o755 | c.AddMode
	case m&0o100 != 0:
		return 0o755 | c.AddMode
	}
	return 0o644 | c.AddMode
}

// hash returns the hash of a file's content, from memory if nothing of the
// file changed since it was last read.
func (b *Builder) hash(file string, info fs.FileInfo) (v1.Hash, error) {
	if h, ok := b.Store.FileHash(file, info); ok {
		return h, nil
	}
	r, err := openSame(file, info)
	if err != nil {
		return v1.Hash{}, err
	}
	sum := sha256.New()
	buf, ok := b.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
		*buf = make([]byte, 64<<10)
	}
	n, err := io.CopyBuffer(sum, struct{ io.Reader }{r}, *buf)
	b.buffers.Put(buf)
	if e := r.Close(); err == nil {
		err = e
	}
	if err == nil && n != info.Size() {
		err = ErrChanged
	}
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read %s: %w", file, err)
	}
	h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	b.Store.PutFileHash(file, info, h)
	return h, nil
}

// sameFile is a file that must be, when it is closed, the one that was looked
// at before it was opened.
type sameFile struct {
	*os.File
	before fs.FileInfo
}

func openSame(file string, before fs.FileInfo) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	s := &sameFile{f, before}
	if err := s.check(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *sameFile) check() error {
	now, err := s.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(now, s.before) || now.Size() != s.before.Size() || !now.ModTime().Equal(s.before.ModTime()) {
		return fmt.Errorf("%s: %w", s.Name(), ErrChanged)
	}
	return nil
}

func (s *sameFile) Close() error {
	err := s.check()
	if e := s.File.Close(); err == nil {
		err = e
	}
	return err
}

// filesLayer puts a layer of known files on top of the state. A layer without
// entries is left out. The key is what the layer holds.
func (b *Builder) filesLayer(ctx context.Context, st *state, w work, list []entry) error {
	if len(list) == 0 {
		return nil
	}
	k := newKey(w.kind).add("compression", b.Compression.String()).add("time", b.time().String())
	for _, e := range list {
		k.add("file", e.Path, e.Mode.String(), strconv.Itoa(e.UID), strconv.Itoa(e.GID), e.Link, e.content)
	}
	w.key = k.sum()
	w.make = func(ctx context.Context) (v1.Hash, v1.Descriptor, error) {
		return b.pack(ctx, func(w io.Writer) error {
			return layers.Write(ctx, w, func(yield func(layers.File, error) bool) {
				for _, e := range list {
					if !yield(e.File, nil) {
						return
					}
				}
			})
		})
	}
	return b.layer(ctx, st, w)
}

// entries are the files of a layer by their path.
type entries map[string]entry

// sorted is in the order of names, in which every directory precedes what is
// in it.
func (s entries) sorted() []entry {
	list := make([]entry, 0, len(s))
	for _, e := range s {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	return list
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
		if known, ok := st.dirs[dir]; ok {
			f = known
		} else if view != nil {
			if e, ok := view.Lstat(dir); ok && e.Mode.IsDir() {
				f.Mode, f.UID, f.GID = e.Mode, e.UID, e.GID
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
