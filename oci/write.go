package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// write makes the layer of a Write step.
func (b *Builder) write(ctx context.Context, st *state, w plan.Write) error {
	if st.missedRun && (w.Missing || st.wild) {
		st.unknown(w)
		return nil
	}
	if w.Missing {
		return b.writeMissing(ctx, st, w)
	}
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
		e := inlineEntry(f, name, b.time())
		e.UID, e.GID = uid, gid
		set[name] = e
		if f.Mode.IsDir() {
			st.dirs[name] = e.File
		}
	}
	return b.filesLayer(ctx, st, work{step: w.String(), kind: w.Kind()}, set.sorted())
}

// sumOf is the sha256 of a content, in hexadecimal.
func sumOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// writeMissing makes the directories of a Write step that are missing, as
// WORKDIR does.
func (b *Builder) writeMissing(ctx context.Context, st *state, w plan.Write) error {
	dest := "/"
	if len(w.Files) == 1 {
		dest = w.Files[0].Path
	}
	t, err := b.target(ctx, st, plan.Copy{Dest: dest, Owner: w.Owner})
	if err != nil {
		return err
	}
	for _, f := range w.Files {
		at, err := t.view.Resolve(f.Path)
		if err != nil {
			return err
		}
		if f.Mode.IsDir() {
			if err := t.mkdirAll(at, f.Mode.Perm()); err != nil {
				return err
			}
			continue
		}
		if _, ok := t.view.Lstat(at); ok {
			continue
		}
		if err := t.mkdirAll(path.Dir(at), 0o755); err != nil {
			return err
		}
		if err := t.put(t.owned(inlineEntry(f, at, b.time()))); err != nil {
			return err
		}
	}
	set, err := t.finish(ctx)
	if err != nil {
		return err
	}
	return b.filesLayer(ctx, st, work{step: w.String(), kind: w.Kind()}, set.sorted())
}

// inlineEntry is a file whose content stands in the plan.
func inlineEntry(f plan.File, at string, t time.Time) entry {
	e := entry{File: layers.File{Path: at, Mode: f.Mode, Time: t}}
	switch {
	case f.Mode&fs.ModeSymlink != 0:
		e.Link = f.Data
	case f.Mode.IsRegular():
		e.sum = sumOf(f.Data)
		e.content, e.Size = e.sum, int64(len(f.Data))
		e.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.Data)), nil }
	}
	return e
}
