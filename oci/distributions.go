package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/python"
)

// Distributions divides what an installer changed into at most max layers, by
// Python distribution, so that what did not change is the same bytes in every
// build. below says which paths the layers below have. Of nothing it makes one
// empty layer.
func Distributions(max int) func(files []layers.File, below func(path string) bool) ([]layers.Part, error) {
	return func(files []layers.File, below func(string) bool) ([]layers.Part, error) {
		site, err := siteOf(files, below)
		if err != nil {
			return nil, fmt.Errorf("read distributions: %w", err)
		}
		groups := site.Groups(max)
		var parts []layers.Part
		for i, list := range layers.Split(files, groups.Len(), groups.Of) {
			if list != nil {
				parts = append(parts, layers.Part{Name: nameOf(groups, i), Files: list})
			}
		}
		switch len(parts) {
		case 0:
			parts = []layers.Part{{}}
		case 1:
			parts[0].Name = "" // it is all there is
		}
		return parts, nil
	}
}

// maxNames bounds how much is said of what is in a layer, in bytes.
const maxNames = 200

// nameOf says what is in a group.
func nameOf(groups *python.Groups, i int) string {
	name, members := groups.Name(i), groups.Members(i)
	if len(members) < 2 && (len(members) == 0 || members[0] == name) {
		return name
	}
	name += ": "
	for n, m := range members {
		if n > 0 {
			name += ", "
		}
		if len(name)+len(m) > maxNames {
			return name + fmt.Sprintf("and %d more", len(members)-n)
		}
		name += m
	}
	return name
}

// partsOf is how many layers the next install of a state may make, 1 if it is
// not to be divided. It depends on the base and the steps alone.
func partsOf(st *state) int {
	max := min(python.MaxLayers-st.split, maxLayers-len(st.layers)-st.course.steps())
	if max < python.MinLayers {
		return 1
	}
	return max
}

// packParts keeps the layers that write writes as [layers.WriteParts] does,
// while they come. ready is called with all that are kept when one more is; known
// has those that need not be written.
func (b *Builder) packParts(ctx context.Context, write func(w io.Writer) error, known map[string]made, ready func([]made)) ([]made, error) {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := write(w)
		w.CloseWithError(err)
		wrote <- err
	}()
	var list []made
	err := layers.ReadParts(r, func(p layers.PartReader) (err error) {
		m, ok := known[p.Known]
		if !ok {
			m, err = b.pack(ctx, func(w io.Writer) error {
				_, err := io.Copy(w, struct{ io.Reader }{p.Tar})
				return err
			})
		}
		if err != nil {
			return err
		}
		m.name = p.Name
		list = append(list, m)
		ready(list)
		return nil
	})
	r.CloseWithError(err)
	if werr := <-wrote; werr != nil && (err == nil || errors.Is(err, werr)) {
		err = werr
	}
	if err == nil && len(list) == 0 {
		err = errors.New("the step has no layer")
	}
	return list, err
}

// sendAhead begins to send layers that a step made, while it makes others.
func (b *Builder) sendAhead(st *state, list []made) {
	if b.Ahead == nil || !st.last() || b.stopsAt(list) || st.held.holds() {
		return
	}
	b.Ahead.send(append(slices.Clone(st.layers), b.laid(list)...))
}

// laid are layers in the store.
func (b *Builder) laid(list []made) []laid {
	var ls []laid
	for _, m := range list {
		if file, ok := b.Store.Blob(m.desc.Digest); ok {
			ls = append(ls, laid{Layer: storedLayer{m.diffID, m.desc, file}, diffID: m.diffID})
		}
	}
	return ls
}

// siteOf reads which distributions a layer has.
func siteOf(files []layers.File, below func(string) bool) (*python.Site, error) {
	contents := map[string]*layers.File{}
	var list []python.File
	for i := range files {
		f := &files[i]
		if f.Mode.IsDir() {
			continue
		}
		p := python.File{Path: f.Path, Size: f.Size}
		if deleted, opaque := layers.Deletes(f.Path); opaque {
			continue
		} else if deleted != "" {
			p.Path, p.Deleted = deleted, true
		}
		p.Below = p.Deleted || below(p.Path)
		contents[p.Path] = f
		list = append(list, p)
	}
	return python.Read(list, func(p string) (io.ReadCloser, error) {
		f := contents[p]
		if f != nil && f.HardLink {
			f = contents[f.Link]
		}
		if f == nil || f.Mode&fs.ModeType != 0 || f.Open == nil {
			return io.NopCloser(strings.NewReader("")), nil // a link out of its place, or nothing, says nothing
		}
		return f.Open()
	})
}
