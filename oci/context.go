package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// contextFiles describes and hashes the step's files, several at a time.
func (b *Builder) contextFiles(ctx context.Context, c plan.Copy, dest string, uid, gid int) ([]entry, error) {
	described, err := b.described(ctx, c)
	if err != nil {
		return nil, err
	}
	list := slices.Clone(described)
	for i, name := range c.Files {
		list[i].Path, list[i].UID, list[i].GID = path.Join(dest, name), uid, gid
	}
	return list, nil
}

// described are the step's files without places in the image.
func (b *Builder) described(ctx context.Context, c plan.Copy) ([]entry, error) {
	known, _ := b.glances.Load(glanceOf(b.Context, c.Files, c))
	before, ok := known.([]entry)
	if ok && !b.running.Load() {
		return before, nil
	}
	list := make([]entry, len(c.Files))
	err := inCrowds(ctx, len(list), func(i int) (err error) {
		list[i], err = b.contextFile(c.Files[i], c)
		return err
	})
	if ok && !slices.EqualFunc(list, before, func(a, b entry) bool { return a.Mode == b.Mode && a.Link == b.Link && a.content == b.content }) {
		b.unlike.Store(true)
	}
	return list, err
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
		e.Open = func() (io.ReadCloser, error) { return openSame(file, info) }
		h, err := b.hash(file, info, e.Open)
		if err != nil {
			return entry{}, err
		}
		e.content, e.sum, e.Size = h.Hex, h.Hex, info.Size()
		e.Open = func() (io.ReadCloser, error) {
			r, err := openSame(file, info)
			return b.hashed(r, err, file, h.Hex)
		}
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
func (b *Builder) hash(file string, info fs.FileInfo, open func() (io.ReadCloser, error)) (v1.Hash, error) {
	if h, ok := b.Store.FileHash(file, info); ok {
		return h, nil
	}
	r, err := open()
	if err != nil {
		return v1.Hash{}, err
	}
	sum := sha256.New()
	to, print := io.Writer(sum), (*maphash.Hash)(nil)
	if info.Size() >= printSize {
		print = b.prints.begin()
		to = io.MultiWriter(sum, print)
	}
	buf, ok := b.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
		*buf = make([]byte, 64<<10)
	}
	n, err := io.CopyBuffer(to, struct{ io.Reader }{r}, *buf)
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
	if print != nil {
		b.prints.add(h.Hex, print)
	}
	return h, nil
}
