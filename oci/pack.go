package oci

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/secrets"
)

// pack keeps the tar that write writes: compressed and hashed as it comes,
// listed, and looked through for secrets, all in one pass.
func (b *Builder) pack(ctx context.Context, write func(w io.Writer) error) (made, error) {
	lister := newLister(ctx)
	packed, err := b.packTar(ctx, func(tar io.Writer) error { return write(io.MultiWriter(tar, lister)) })
	list, lerr := lister.close(err)
	if err != nil {
		return made{}, err
	}
	if lerr != nil {
		return made{}, fmt.Errorf("list layer: %w", lerr)
	}
	return made{diffID: packed.DiffID, desc: descriptorOf(packed), found: lister.scan.Found()}, b.keepListing(packed.DiffID, list)
}

// packTar keeps the tar that write writes, compressed.
func (b *Builder) packTar(ctx context.Context, write func(tar io.Writer) error) (packed layers.Packed, err error) {
	err = b.Store.PutBlob(ctx, func(w io.Writer) (v1.Hash, error) {
		var err error
		packed, err = b.packer.Pack(ctx, w, b.Compression, write)
		return packed.Digest, err
	})
	return packed, err
}

func descriptorOf(p layers.Packed) v1.Descriptor {
	return v1.Descriptor{MediaType: p.MediaType, Size: p.Size, Digest: p.Digest}
}

// A lister lists the tar that is written to it, and looks for secrets in it.
type lister struct {
	w    *io.PipeWriter
	scan *secrets.Scanner
	done chan struct{}
	list layers.Listing
	err  error
}

func newLister(ctx context.Context) *lister {
	r, w := io.Pipe()
	l := &lister{w: w, scan: secrets.NewScanner(), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.list, l.err = layers.ListTo(ctx, r, func(e layers.Entry) io.Writer {
			l.scan.File(e.Path)
			return l.scan
		})
		if _, err := io.Copy(io.Discard, r); l.err == nil { // the padding after the trailer
			l.err = err
		}
	}()
	return l
}

// Write implements [io.Writer].
func (l *lister) Write(p []byte) (int, error) { return l.w.Write(p) }

// close ends the list; cause is why the tar is not whole, if it is not.
func (l *lister) close(cause error) (layers.Listing, error) {
	l.w.CloseWithError(cause)
	<-l.done
	return l.list, l.err
}
