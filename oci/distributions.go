package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/python"
)

// A part is one of the layers that a step made.
type part struct {
	name   string // what is in it, for people; empty if it is all there is
	diffID v1.Hash
	desc   v1.Descriptor
	unsafe []string // why a distribution in it cannot be reused without a joint install, sorted
}

// packDistributions keeps the tar that write writes, what an installer changed,
// as several layers: at most max, by distribution, so that what did not change
// is the same bytes in every build. below says whether the layers below have a
// path; it may be nil. ready, if it is not nil, is called with each layer as
// soon as it is kept. A tar with nothing in it gives one empty layer.
func (b *Builder) packDistributions(ctx context.Context, max int, write func(w io.Writer) error, below func(path string) bool, ready func(part)) ([]part, error) {
	f, err := os.CreateTemp(b.Store.Scratch(), "install-")
	if err != nil {
		return nil, fmt.Errorf("spool layer: %w", err)
	}
	defer func() {
		f.Close()
		os.Remove(f.Name())
	}()
	files, err := spoolTar(ctx, f, write)
	if err != nil {
		return nil, err
	}
	site, err := siteOf(files, below)
	if err != nil {
		return nil, fmt.Errorf("read distributions: %w", err)
	}
	groups := site.Groups(max)
	var parts []part
	for i, list := range layers.Split(files, groups.Len(), groups.Of) {
		if list == nil && (len(files) > 0 || i > 0) {
			continue
		}
		p := part{name: groups.Name(i), unsafe: unsafeIn(site, groups, i)}
		if p.diffID, p.desc, err = b.pack(ctx, func(w io.Writer) error { return layers.Write(ctx, w, all(list)) }); err != nil {
			return nil, err
		}
		parts = append(parts, p)
		if ready != nil {
			ready(p)
		}
	}
	return parts, nil
}

// unsafeIn are the reasons why distributions of a group depend on others.
func unsafeIn(site *python.Site, groups *python.Groups, i int) []string {
	var list []string
	for _, d := range site.Distributions() {
		for _, why := range d.Unsafe {
			if groups.OfName(d.Name) == i {
				list = append(list, d.Name+" "+string(why))
			}
		}
	}
	return list
}

// spoolTar reads the tar that write writes, with its contents in f.
func spoolTar(ctx context.Context, f *os.File, write func(w io.Writer) error) ([]layers.File, error) {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		wrote <- err
	}()
	files, err := layers.Spool(ctx, r, f)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the padding after the trailer
	}
	r.CloseWithError(err)
	if werr := <-wrote; werr != nil && err == nil {
		err = werr
	}
	return files, err
}

// siteOf reads which distributions a layer has.
func siteOf(files []layers.File, below func(string) bool) (*python.Site, error) {
	contents := map[string]layers.File{}
	var list []python.File
	for _, f := range files {
		if f.Mode.IsDir() {
			continue
		}
		p := python.File{Path: f.Path, Size: f.Size}
		if deleted, opaque := layers.Deletes(f.Path); opaque {
			continue
		} else if deleted != "" {
			p.Path, p.Deleted = deleted, true
		}
		p.Below = p.Deleted || below != nil && below(p.Path)
		contents[p.Path] = f
		list = append(list, p)
	}
	return python.Read(list, func(p string) (io.ReadCloser, error) {
		f := contents[p]
		if f.HardLink {
			f = contents[f.Link]
		}
		if f.Mode&fs.ModeType != 0 || f.Open == nil {
			return io.NopCloser(strings.NewReader("")), nil // a link out of its place, or nothing, says nothing
		}
		return f.Open()
	})
}

// all are files as [layers.Write] takes them.
func all(files []layers.File) func(yield func(layers.File, error) bool) {
	return func(yield func(layers.File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}
}
