package oci

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// contextSource shows files of a directory of the host's. Nothing outside is
// read, whatever links it has; what is on the way to a file has to be a
// directory. The directories above the files are there, too, as they are on disk.
func (b *Builder) contextSource(ctx context.Context, dir string, files []string, modes plan.Copy) (*source, error) {
	t, err := b.openContext(dir, modes)
	if err != nil {
		return nil, err
	}
	known, _ := b.glances.Load(glanceOf(dir, files, modes))
	before, ok := known.(*glance)
	if ok && !b.running.Load() {
		t.glance = before
	} else if t.glance, err = t.look(ctx, files); err != nil {
		t.root.Close()
		return nil, err
	}
	if ok && t.glance != before && !t.since(before) {
		b.unlike.Store(true)
	}
	return &source{view: layers.NewView([]layers.Listing{t.list}), file: t.file, close: func() { t.root.Close() }}, nil
}

// contextTree is a build context that files are copied of.
type contextTree struct {
	*glance
	b     *Builder
	root  *os.Root
	dir   string
	modes plan.Copy
}

// openContext opens a build context. Its root has to be closed.
func (b *Builder) openContext(dir string, modes plan.Copy) (*contextTree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("build context: %w", err)
	}
	return &contextTree{b: b, root: root, dir: dir, modes: modes}, nil
}

// file describes a file that is to be copied.
func (t *contextTree) file(e layers.Entry) (entry, error) {
	out := entry{File: fileOf(e)}
	if e.Path == "." {
		return out, nil
	}
	i := t.at[e.Path]
	out.Xattrs = t.xattrs[i]
	if !t.infos[i].Mode().IsRegular() {
		return out, nil
	}
	sum := t.sum(i)
	out.content, out.sum = sum, sum
	out.Open = func() (io.ReadCloser, error) {
		r, err := t.open(i)
		return t.b.hashed(r, err, t.names[i], sum)
	}
	if sum == "" {
		out.load = func() (_ string, err error) {
			sum, err = t.hash(i)
			return sum, err
		}
	}
	return out, nil
}

// open opens file number i, if it is the one that was looked at.
func (t *contextTree) open(i int) (io.ReadCloser, error) {
	f, err := t.root.Open(filepath.FromSlash(t.names[i]))
	if err != nil {
		return nil, inContext(t.names[i], err)
	}
	return sameAs(f, t.infos[i])
}

// hash is the sha256 of file number i.
func (t *contextTree) hash(i int) (string, error) {
	file := filepath.Join(t.dir, filepath.FromSlash(t.names[i]))
	h, err := t.b.hash(file, t.infos[i], func() (io.ReadCloser, error) { return t.open(i) })
	return h.Hex, err
}
