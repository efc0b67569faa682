package oci

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// lastKind is the kind of value under which the store keeps the steps of an
// image that was built last, and partsKind that of the parts of a key.
const (
	lastKind  = "last-1"
	partsKind = "parts-1"
)

// lastStep is a step that had a layer.
type lastStep struct {
	Stage string `json:"stage,omitempty"`
	Step  string `json:"step"`
	Kind  string `json:"kind"`
	Key   string `json:"key"`
}

// keepParts notes what the keys of new layers are made of, for the explanation of
// the next build. That it cannot be noted is no error.
func (b *Builder) keepParts(states []*state) {
	for _, st := range states {
		for _, r := range st.reports {
			if r.Key == "" || r.Cached && r.From == "" {
				continue // its parts are kept since it was made
			}
			if data, err := json.Marshal(st.parts[r.Key].sums()); err == nil {
				b.noteError("note what a key is made of", b.Store.PutValue(partsKind, r.Key, data))
			}
		}
	}
}

// keepLast notes what was built, likewise.
func (b *Builder) keepLast(reports []StepReport) {
	steps := []lastStep{}
	for _, r := range reports {
		if r.Key != "" {
			steps = append(steps, lastStep{r.Stage, r.Step, r.Kind, r.Key})
		}
	}
	data, err := json.Marshal(steps)
	if err != nil {
		return
	}
	if was, ok, err := b.Store.Value(lastKind, b.Name); err == nil && ok && string(was) == string(data) {
		return
	}
	b.noteError("note what was built", b.Store.PutValue(lastKind, b.Name, data))
}

func (b *Builder) noteError(what string, err error) {
	if err != nil {
		b.note("%s: %v", what, err)
	}
}

// compared are the reports of an explanation; those of layers that are not there
// say what of the key changed since the image was built last.
func (b *Builder) compared(states []*state) []StepReport {
	var last []lastStep
	if data, ok, err := b.Store.Value(lastKind, b.Name); err == nil && ok {
		_ = json.Unmarshal(data, &last) // what cannot be read says nothing
	}
	used := make([]bool, len(last))
	for _, st := range states {
		for i := range st.reports {
			r := &st.reports[i]
			at := counterpart(last, used, *r)
			if at < 0 {
				continue
			}
			used[at] = true
			if r.Cached || r.Key == "" || r.Key == last[at].Key {
				continue
			}
			var before parts
			if data, ok, err := b.Store.Value(partsKind, last[at].Key); err == nil && ok && json.Unmarshal(data, &before) == nil {
				r.Changed = st.parts[r.Key].sums().changed(before)
			}
		}
	}
	return reports(states)
}

// counterpart is the step of the last build that a step is to be compared with:
// the one with its text, else the next of its kind. -1 is none.
func counterpart(last []lastStep, used []bool, r StepReport) int {
	if r.Kind == "set" {
		return -1
	}
	next := -1
	for i, l := range last {
		if used[i] || l.Stage != r.Stage || l.Kind != r.Kind {
			continue
		}
		if l.Step == r.Step {
			return i
		}
		if next < 0 {
			next = i
		}
	}
	return next
}

// Missing says which of some blobs a repository does not have.
func (c *Client) Missing(ctx context.Context, repo name.Repository, digests []v1.Hash) (map[v1.Hash]bool, error) {
	u, err := c.uploader(ctx, repo)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", repo.Name(), err)
	}
	missing := map[v1.Hash]bool{}
	for _, d := range digests {
		there, err := u.has(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", repo.Name(), err)
		}
		if !there {
			missing[d] = true
		}
	}
	return missing, nil
}
