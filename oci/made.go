package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/secrets"
)

// A made is one of the layers that a step made, in the store.
type made struct {
	name   string // what is in it, for people; empty if the step made no other
	diffID v1.Hash
	desc   v1.Descriptor
	found  []secrets.Finding
}

// aboutMade is what the store keeps of a layer beside its descriptor.
type aboutMade struct {
	Name   string  `json:"name,omitempty"`
	DiffID v1.Hash `json:"diff_id"`
	// Found are the places of secrets in it.
	Found []secrets.Finding `json:"found,omitempty"`
}

// A LayerReport tells of one of several layers that a step made.
type LayerReport struct {
	Name   string `json:"name"` // what is in it, for people
	DiffID string `json:"diff_id"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // compressed, in bytes
}

// Made are the layers of the step, bottom first; none if they are not there.
func (r StepReport) Made() []LayerReport {
	if r.DiffID != "" {
		return []LayerReport{{DiffID: r.DiffID, Digest: r.Digest, Size: r.Size}}
	}
	return r.Layers
}

// foundLayer is a layer that a step made.
type foundLayer struct {
	v1.Layer
	diffID v1.Hash
	name   string
	found  []secrets.Finding
}

// foundLayers are the layers of a step, or none. from is the image that has
// them, if the store has not.
type foundLayers struct {
	list []foundLayer
	from string
}

// report notes the layers in the report of their step.
func (f foundLayers) report(r *StepReport) error {
	for _, l := range f.list {
		digest, err := l.Digest()
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		size, err := l.Size()
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		r.Size += size
		r.Layers = append(r.Layers, LayerReport{l.name, l.diffID.String(), digest.String(), size})
	}
	if len(r.Layers) == 1 {
		r.DiffID, r.Digest, r.Layers = r.Layers[0].DiffID, r.Layers[0].Digest, nil
	}
	return nil
}

// keep remembers the layers that were made under a key, and returns them.
func (b *Builder) keep(key string, list []made) (foundLayers, error) {
	var f foundLayers
	descs, about := make([]v1.Descriptor, len(list)), make([]aboutMade, len(list))
	for i, m := range list {
		descs[i], about[i] = m.desc, aboutMade{m.name, m.diffID, m.found}
		file, ok := b.Store.Blob(m.desc.Digest)
		if !ok {
			return f, fmt.Errorf("layer %s is gone from the cache", m.desc.Digest)
		}
		f.list = append(f.list, foundLayer{storedLayer{m.diffID, m.desc, file}, m.diffID, m.name, m.found})
	}
	data, err := json.Marshal(about)
	if err != nil {
		return f, fmt.Errorf("keep layers: %w", err)
	}
	if err := b.Store.PutLayers(key, descs, data); err != nil {
		return f, fmt.Errorf("keep layers: %w", err)
	}
	return f, nil
}

// storeKey is what the layers of a step are kept under: what a process made is
// its project's.
func (b *Builder) storeKey(w work) string {
	if !w.runs || b.Project == "" {
		return w.key
	}
	return w.key + " of " + b.Project
}

// find looks the layers of a step up: in the store, where they count only with
// the lists of what is in them, which later steps may ask for; then in images
// that were pushed before.
func (b *Builder) find(ctx context.Context, st *state, w work) (foundLayers, error) {
	if b.NoCache {
		return foundLayers{}, nil
	}
	f, err := b.stored(b.storeKey(w))
	if err != nil || len(f.list) > 0 {
		return f, err
	}
	f = b.Remembered.find(ctx, w.key, st.hashes()[:st.own], st.base.Platform)
	if b.Secrecy.Stop && slices.ContainsFunc(f.list, func(l foundLayer) bool { return len(l.found) > 0 }) {
		return foundLayers{}, nil // where they are is known again once it is made
	}
	return f, nil
}

// lookUp is find, unless somebody did.
func (b *Builder) lookUp(ctx context.Context, st *state, w work) (foundLayers, error) {
	if w.found != nil {
		return *w.found, nil
	}
	return b.find(ctx, st, w)
}

// stored looks the layers of a step up in the store.
func (b *Builder) stored(key string) (foundLayers, error) {
	descs, data, ok, err := b.Store.Layers(key)
	if err != nil || !ok {
		return foundLayers{}, err
	}
	var about []aboutMade
	if err := json.Unmarshal(data, &about); err != nil || len(about) != len(descs) {
		return foundLayers{}, nil //nolint:nilerr // what cannot be read is not there
	}
	var f foundLayers
	for i, desc := range descs {
		file, ok := b.Store.Blob(desc.Digest)
		if !ok || !b.Store.HasValue(listingKind, about[i].DiffID.String()) {
			return foundLayers{}, nil
		}
		f.list = append(f.list, foundLayer{storedLayer{about[i].DiffID, desc, file}, about[i].DiffID, about[i].Name, about[i].Found})
	}
	return f, nil
}

// partOf numbers a layer among those of its step in the comment of its entry in
// the history: "2/9"; empty if it is alone. A mark says that it has what looks
// like a secret.
func partOf(list []foundLayer, i int) string {
	part := strconv.Itoa(i+1) + "/" + strconv.Itoa(len(list))
	switch {
	case len(list[i].found) > 0:
		return part + foundMark
	case len(list) == 1:
		return ""
	}
	return part
}

// foundMark stands behind the number of a layer with secrets.
const foundMark = "!"

// numbersOf reads what partOf writes; an entry that says nothing of others is
// alone.
func numbersOf(part string) (i, n int) {
	a, b, _ := strings.Cut(strings.TrimSuffix(part, foundMark), "/")
	i, err := strconv.Atoi(a)
	n, nerr := strconv.Atoi(b)
	if err != nil || nerr != nil || i < 1 || i > n {
		return 1, 1
	}
	return i, n
}

// createdBy is the text of a layer's entry in the history: the step and, if it
// made several layers, what is in this one.
func createdBy(step, name string) string {
	if name == "" {
		return step
	}
	return step + partMark + strings.ReplaceAll(name, partMark, " ") + ")"
}

// partMark stands between a step and what is in one of its layers.
const partMark = " ("

// nameIn reads from such a text what is in the layer.
func nameIn(text string) string {
	at := strings.LastIndex(text, partMark)
	if at < 0 {
		return ""
	}
	return strings.TrimSuffix(text[at+len(partMark):], ")")
}
