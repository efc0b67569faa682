package oci

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
)

// The kinds of places that files of an image are written to.
const (
	kindTar   = "tar"
	kindLocal = "local"
)

// Stdout is the path of an output that goes to a stream.
const Stdout = "-"

// IsTree says whether the output takes the files of an image and nothing else of
// it.
func (o Output) IsTree() bool { return o.Kind == kindTar || o.Kind == kindLocal }

// An Exported tells of files that were written.
type Exported struct {
	// Owned is how many of them belong to somebody else than root in the image,
	// which a directory does not show.
	Owned int
	// Left are those that a directory of the host does not have: devices.
	Left []string
}

// Export writes the files of an image to a tar, which has them with their owners,
// or into a directory, where they belong to whoever runs the program and replace
// those of the same names. stdout takes a tar whose path is [Stdout]. A tar is
// there when it is whole and not before.
func (b *Builder) Export(ctx context.Context, o Output, img v1.Image, stdout io.Writer) (Exported, error) {
	out, err := b.export(ctx, o, img, stdout)
	if err != nil {
		return out, fmt.Errorf("write %s:%s: %w", o.Kind, o.Path, err)
	}
	return out, nil
}

func (b *Builder) export(ctx context.Context, o Output, img v1.Image, stdout io.Writer) (out Exported, err error) {
	switch {
	case o.Kind == kindLocal:
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			var err error
			out.Owned, err = b.treeTar(ctx, img, w)
			w.CloseWithError(err)
			done <- err
		}()
		left, err := layers.UnpackOver(ctx, r, o.Path)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		r.CloseWithError(err)
		if werr := <-done; err == nil {
			err = werr
		}
		out.Left = left
		return out, err
	case o.Path == Stdout:
		out.Owned, err = b.treeTar(ctx, img, stdout)
		return out, err
	}
	err = WriteWhole(o.Path, func(w io.Writer) error {
		out.Owned, err = b.treeTar(ctx, img, w)
		return err
	})
	return out, err
}

// treeTar writes the files of an image as a tar, in the order of their names, and
// counts those that are not root's.
func (b *Builder) treeTar(ctx context.Context, img v1.Image, w io.Writer) (owned int, err error) {
	st, err := newState(Base{Image: img, Ref: "image"}, b.Created)
	if err != nil {
		return 0, err
	}
	src, err := b.stateSource(ctx, st)
	if err != nil {
		return 0, err
	}
	defer src.close()
	all := src.view.Below(".")
	files := make([]layers.File, 0, len(all))
	first := map[int]string{} // by inode
	for _, e := range all {
		f, err := src.file(e)
		if err != nil {
			return 0, err
		}
		f.Path = e.Path
		if at, ok := first[e.Inode]; ok && e.Inode != 0 && !e.Mode.IsDir() {
			f.File = layers.File{Path: e.Path, Mode: f.Mode, UID: f.UID, GID: f.GID, Time: f.Time, HardLink: true, Link: at}
		}
		if _, ok := first[e.Inode]; !ok {
			first[e.Inode] = e.Path
		}
		if f.UID != 0 || f.GID != 0 {
			owned++
		}
		files = append(files, f.File)
	}
	return owned, layers.Write(ctx, w, func(yield func(layers.File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	})
}
