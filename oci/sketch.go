package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
)

// A sketch is what layers show at a path and below it, and on the way to it:
// all that a step asks that puts files there. It is kept, and stands in the
// image's history beside the step's key, so that who has the image needs no
// layer to find the key of the next step. What is big, or has links in it, has
// none: the answer could depend on any other path.
type sketch struct {
	First   int            `json:"first,omitempty"` // the lowest layer that counts
	At      int            `json:"at,omitempty"`    // how many layers it is about; 0 for all below the one beside which it stands
	Path    string         `json:"path"`            // relative to the root, or a program's name
	Which   string         `json:"which,omitempty"` // where the program is looked for; then Entries are where it and the shell lie
	Entries []layers.Entry `json:"entries,omitempty"`
}

// sketchKind is the kind of value that sketches are kept as.
const sketchKind = "sketch-1"

// The limits of a sketch.
const (
	sketchEntries = 64
	sketchBytes   = 8 << 10 // of all that one layer's entry in the history has
)

// sketchOf draws a view. It is not ok if no sketch can tell enough.
func sketchOf(view *layers.View, first int, p string) (s sketch, ok bool) {
	s = sketch{First: first, Path: p}
	if p == "." {
		return s, false
	}
	at := ""
	for name := range strings.SplitSeq(p, "/") {
		at = path.Join(at, name)
		e, ok := view.Lstat(at)
		if !ok {
			return s, true // nor is anything below it
		}
		if e.Path != at || e.Mode&fs.ModeSymlink != 0 {
			return s, false
		}
		s.Entries = append(s.Entries, plainEntry(e))
	}
	below := view.Below(p)
	if len(s.Entries)+len(below) > sketchEntries {
		return s, false
	}
	for _, e := range below {
		if e.Mode&fs.ModeSymlink != 0 {
			return s, false
		}
		s.Entries = append(s.Entries, plainEntry(e))
	}
	return s, true
}

// plainEntry is an entry without what only the view that it is from knows.
func plainEntry(e layers.Entry) layers.Entry {
	e.List, e.From, e.Inode = 0, "", 0
	if e.HardLink {
		e.HardLink, e.Link = false, ""
	}
	return e
}

func (s sketch) view() *layers.View {
	return layers.NewView([]layers.Listing{{Entries: s.Entries}})
}

// glimpse returns a view that shows what the layers from number first on have at
// a path and below it. Other paths may be missing in it, and it may be one that
// others have, too.
func (b *Builder) glimpse(ctx context.Context, st *state, first int, p string) (*layers.View, error) {
	p = path.Clean(strings.TrimPrefix(path.Clean("/"+p), "/"))
	if len(st.layers) == 0 || st.missed { // in an explanation the view has layers that are not there
		return b.broad(ctx, st, first)
	}
	if s, ok := b.sketched(ctx, st, first, p); ok {
		st.drawn = append(st.drawn, s)
		return s.view(), nil
	}
	view, err := b.broad(ctx, st, first)
	if err != nil {
		return nil, err
	}
	if s, ok := sketchOf(view, first, p); ok {
		st.drawn = append(st.drawn, s)
		data, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode sketch: %w", err)
		}
		if err := b.Store.PutValue(sketchKind, st.sketchKey(first, p), data); err != nil {
			return nil, fmt.Errorf("keep sketch: %w", err)
		}
	}
	return view, nil
}

// broad is the view of the layers from number first on.
func (b *Builder) broad(ctx context.Context, st *state, first int) (*layers.View, error) {
	if first == 0 {
		return b.whole(ctx, st)
	}
	return b.view(ctx, st, first)
}

// sketched looks a sketch up: in the store, then in images that were pushed
// before.
func (b *Builder) sketched(ctx context.Context, st *state, first int, p string) (s sketch, ok bool) {
	data, ok, err := b.Store.Value(sketchKind, st.sketchKey(first, p))
	if err == nil && ok && json.Unmarshal(data, &s) == nil {
		return s, true
	}
	if b.NoCache {
		return s, false
	}
	return b.Remembered.sketch(ctx, st.hashes(), st.base.Platform, first, p)
}

// sketchKey names a sketch in the store.
func (st *state) sketchKey(first int, p string) string {
	return chainID(st.hashes()).String() + " " + strconv.Itoa(first) + " " + p
}

// keyedComment is the comment of a layer's entry in the history: the step's key,
// which of the step's layers it is, if there are several, and with the first the
// sketches that the step asked for, as many as there is room for.
func (st *state) keyedComment(key, part string) string {
	comment := keyComment + key
	if part != "" {
		comment += " " + part
	}
	for _, s := range st.drawn {
		data, err := json.Marshal(s)
		if err == nil && len(comment)+len(data) < sketchBytes {
			comment += " " + string(data)
		}
	}
	st.drawn = nil
	return comment
}

// sketchesIn reads the sketches of a comment.
func sketchesIn(comment string) []sketch {
	_, text, _ := strings.Cut(strings.TrimPrefix(comment, keyComment), " ")
	if at := strings.IndexByte(text, '{'); at >= 0 {
		text = text[at:]
	}
	var list []sketch
	dec := json.NewDecoder(strings.NewReader(text))
	for dec.More() {
		var s sketch
		if dec.Decode(&s) != nil || len(s.Entries) > sketchEntries {
			break
		}
		list = append(list, s)
	}
	return list
}

// sketch looks for a sketch of layers in images that have all of them.
func (m *Memory) sketch(ctx context.Context, stack []v1.Hash, platform v1.Platform, first int, p string) (sketch, bool) {
	if m == nil {
		return sketch{}, false
	}
	for _, r := range m.load(ctx, platform) {
		if len(r.diffIDs) <= len(stack) || !startsWith(r.diffIDs, stack) {
			continue
		}
		for _, s := range r.entries[len(stack)].sketches {
			if s.First == first && s.Path == p && s.At == 0 && s.Which == "" {
				return s, true
			}
		}
	}
	return sketch{}, false
}

// sketchAt looks a sketch of the lowest layers up, or draws it. It is not ok if
// none can be drawn.
func (b *Builder) sketchAt(ctx context.Context, st *state, want sketch, draw func(view *layers.View) (sketch, bool)) (sketch, bool) {
	stack := st.hashes()[:want.At]
	key := strings.Join([]string{chainID(stack).String(), "at", want.Which, want.Path}, " ")
	s := sketch{}
	data, ok, err := b.Store.Value(sketchKind, key)
	if ok = err == nil && ok && json.Unmarshal(data, &s) == nil; !ok && !b.NoCache {
		s, ok = b.Remembered.sketchAt(ctx, stack, st.base.Platform, want)
	}
	if !ok {
		view, err := b.lowest(ctx, st, want.At)
		if err != nil {
			return s, false
		}
		if s, ok = draw(view); !ok {
			return s, false
		}
	}
	s.At = want.At
	st.drawn = append(st.drawn, s)
	if data, err := json.Marshal(s); err == nil {
		b.noteError("keep sketch", b.Store.PutValue(sketchKind, key, data))
	}
	return s, true
}

// lowest is a view of the lowest layers.
func (b *Builder) lowest(ctx context.Context, st *state, n int) (*layers.View, error) {
	var lists []layers.Listing
	for _, l := range st.layers[:n] {
		list, err := b.listing(ctx, l)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return layers.NewView(lists), nil
}

// sketchAt looks for a sketch of the lowest layers in images that have them.
func (m *Memory) sketchAt(ctx context.Context, stack []v1.Hash, platform v1.Platform, want sketch) (sketch, bool) {
	if m == nil {
		return sketch{}, false
	}
	for _, r := range m.load(ctx, platform) {
		if !startsWith(r.diffIDs, stack) {
			continue
		}
		for _, e := range r.entries {
			at := slices.IndexFunc(e.sketches, func(s sketch) bool {
				return s.At == want.At && s.First == want.First && s.Path == want.Path && s.Which == want.Which
			})
			if at >= 0 {
				return e.sketches[at], true
			}
		}
	}
	return sketch{}, false
}
