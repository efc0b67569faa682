package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// errUnknown is what a source that must be made first is, in an explanation.
var errUnknown = errors.New("not known before a step has run")

// source is where a step has files from, as a tree.
type source struct {
	// view is the tree; it is not to be changed.
	view *layers.View
	// file describes a file of the view, whose content may be found out later.
	// It may be opened until close is called.
	file func(e layers.Entry) (entry, error)
	// single are paths of the only things that are in it, for sources of which
	// everything is taken. No link is followed in them, and a directory is
	// copied with its own mode.
	single []string
	close  func()
}

// source returns where a step has its files from. It has to be closed.
func (b *Builder) source(ctx context.Context, st *state, c plan.Copy) (*source, error) {
	from := c.From
	switch {
	case from.Stage != "":
		other, err := st.earlier(ctx, from.Stage)
		if err != nil {
			return nil, err
		}
		return b.stateSource(ctx, other)
	case from.Image != "":
		other, err := b.imageState(ctx, st, from)
		if err != nil {
			return nil, err
		}
		return b.stateSource(ctx, other)
	case from.URL != "":
		return b.urlSource(ctx, st, from)
	case from.Git != "":
		return b.gitSource(ctx, st, from)
	case len(from.Inline) > 0:
		return b.inlineSource(from.Inline), nil
	}
	dir, err := b.contextDir(from)
	if err != nil {
		return nil, err
	}
	return b.contextSource(ctx, dir, c.Files, c)
}

// stateSource shows the files of a stage or an image.
func (b *Builder) stateSource(ctx context.Context, st *state) (*source, error) {
	if st.missedRun {
		return nil, errUnknown
	}
	view, err := b.whole(ctx, st)
	if err != nil {
		return nil, err
	}
	sp := &spool{dir: b.Store.Scratch()}
	file := func(e layers.Entry) (entry, error) {
		out := entry{File: fileOf(e), content: e.Sum, sum: e.Sum}
		if !e.Mode.IsRegular() {
			out.content, out.sum = "", ""
			return out, nil
		}
		if e.List >= len(st.seen.stack) || e.Sum == "" {
			return entry{}, fmt.Errorf("/%s: no layer has its content", e.Path)
		}
		l := st.seen.stack[e.List].laid
		if l.Layer == nil {
			return out, nil // in an explanation
		}
		id, from := l.diffID.String(), e.From
		sp.want(id, from, l.Uncompressed)
		out.Open = func() (io.ReadCloser, error) { return sp.open(ctx, id, from) }
		return out, nil
	}
	return &source{view: view, file: file, close: sp.close}, nil
}

// images are those that a course has files from.
type images struct {
	mu sync.Mutex
	by map[string]*imageOnce
}

// imageOnce is an image that is looked up once.
type imageOnce struct {
	once sync.Once
	st   *state
	err  error
}

// imageState is an image as a finished stage.
func (b *Builder) imageState(ctx context.Context, st *state, from plan.Source) (*state, error) {
	look := func() (*state, error) {
		base, err := b.Client.Base(ctx, from.Image, from.Platform)
		if err != nil {
			return nil, err
		}
		return newState(base, b.Created)
	}
	if st.course == nil {
		return look()
	}
	i := st.course.images.of(from.Image + " " + from.Platform)
	i.once.Do(func() { i.st, i.err = look() })
	return i.st, i.err
}

func (i *images) of(key string) *imageOnce {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.by == nil {
		i.by = map[string]*imageOnce{}
	}
	if i.by[key] == nil {
		i.by[key] = &imageOnce{}
	}
	return i.by[key]
}

// inlineSource shows files whose contents stand in the plan.
func (b *Builder) inlineSource(files []plan.File) *source {
	var list layers.Listing
	s := &source{close: func() {}}
	known := map[string]entry{}
	for _, f := range files {
		e := inlineEntry(f, f.Path, b.time())
		known[f.Path] = e
		list.Entries = append(list.Entries, listed(e))
		s.single = append(s.single, f.Path)
	}
	s.view = layers.NewView([]layers.Listing{list})
	s.file = func(e layers.Entry) (entry, error) { return known[e.Path], nil }
	return s
}
