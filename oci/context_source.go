package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// contextSource shows files of a directory of the host's. Nothing outside is
// read, whatever links it has; what is on the way to a file has to be a
// directory. The directories above the files are there, too, as they are on disk.
func (b *Builder) contextSource(ctx context.Context, dir string, files []string, modes plan.Copy) (*source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("build context: %w", err)
	}
	t := &contextTree{b: b, root: root, dir: dir, modes: modes, infos: map[string]fs.FileInfo{}}
	view, err := t.view(ctx, files)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &source{view: view, file: t.file, close: func() { root.Close() }}, nil
}

// contextTree is a build context that files are copied of.
type contextTree struct {
	b     *Builder
	root  *os.Root
	dir   string
	modes plan.Copy
	infos map[string]fs.FileInfo // as they were looked at, by path
}

// view looks at the files.
func (t *contextTree) view(ctx context.Context, files []string) (*layers.View, error) {
	names, err := withParents(files)
	if err != nil {
		return nil, err
	}
	list := layers.Listing{Entries: make([]layers.Entry, len(names))}
	infos := make([]fs.FileInfo, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, some := range byDirectory(names) {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return t.lookAll(names, some, list.Entries, infos)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	links := map[[2]uint64]string{}
	for i, name := range names {
		t.infos[name] = infos[i]
		if dir := path.Dir(name); dir != "." && !t.infos[dir].IsDir() {
			return nil, fmt.Errorf("%s: %s is not a directory", name, dir)
		}
		dev, ino, ok := layers.LinkID(infos[i])
		if !ok || !infos[i].Mode().IsRegular() {
			continue
		}
		if first, ok := links[[2]uint64{dev, ino}]; ok {
			list.Entries[i].HardLink, list.Entries[i].Link = true, first
		} else {
			links[[2]uint64{dev, ino}] = name
		}
	}
	return layers.NewView([]layers.Listing{list}), nil
}

// withParents are names and all directories above them, sorted so that these
// come first.
func withParents(files []string) ([]string, error) {
	all := map[string]bool{}
	for _, name := range files {
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
			return nil, fmt.Errorf("%q leads out of the context", name)
		}
		for ; name != "." && !all[name]; name = path.Dir(name) {
			all[name] = true
		}
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// byDirectory are the numbers of names by the directory that they are in.
func byDirectory(names []string) map[string][]int {
	all := map[string][]int{}
	for i, name := range names {
		dir := path.Dir(name)
		all[dir] = append(all[dir], i)
	}
	return all
}

// lookAll describes some of the names, which are in one directory: that is opened
// once, and not for each of them all that leads to it.
func (t *contextTree) lookAll(names []string, some []int, entries []layers.Entry, infos []fs.FileInfo) error {
	root := t.root
	if dir := path.Dir(names[some[0]]); dir != "." {
		var err error
		if root, err = t.root.OpenRoot(filepath.FromSlash(dir)); err != nil {
			return inContext(names[some[0]], err)
		}
		defer root.Close()
	}
	for _, i := range some {
		var err error
		if entries[i], infos[i], err = t.look(root, names[i]); err != nil {
			return err
		}
	}
	return nil
}

// look describes a file as it is on disk, without its content. root is the
// directory that it is in.
func (t *contextTree) look(root *os.Root, name string) (layers.Entry, fs.FileInfo, error) {
	base := path.Base(name)
	info, err := root.Lstat(base)
	if err != nil {
		return layers.Entry{}, nil, inContext(name, err)
	}
	e := layers.Entry{Path: name, Mode: copiedMode(info.Mode(), t.modes), Time: t.b.time().Unix()}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		if e.Link, err = root.Readlink(base); err != nil {
			return layers.Entry{}, nil, inContext(name, err)
		}
		e.Link = filepath.ToSlash(e.Link)
	case 0:
		e.Size = info.Size()
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		e.Major, e.Minor = layers.Device(info)
	case fs.ModeSocket:
		e.Mode = e.Mode.Perm() // a stub, as in BuildKit
	}
	return e, info, nil
}

// inContext names a file of the context in an error.
func inContext(name string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("context file %s: %w", name, err)
}

// file describes a file that is to be copied.
func (t *contextTree) file(e layers.Entry) (entry, error) {
	out := entry{File: fileOf(e)}
	if e.Path == "." {
		return out, nil
	}
	info := t.infos[e.Path]
	out.Xattrs = layers.Capabilities(filepath.Join(t.dir, filepath.FromSlash(e.Path)), info)
	if !info.Mode().IsRegular() {
		return out, nil
	}
	name := filepath.FromSlash(e.Path)
	open := func() (io.ReadCloser, error) {
		f, err := t.root.Open(name)
		if err != nil {
			return nil, inContext(e.Path, err)
		}
		return sameAs(f, info)
	}
	var sum string
	out.Open = func() (io.ReadCloser, error) {
		r, err := open()
		return hashed(r, err, name, sum)
	}
	out.load = func() (string, error) {
		h, err := t.b.hash(filepath.Join(t.dir, name), info, open)
		sum = h.Hex
		return sum, err
	}
	return out, nil
}
