package oci

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Memory finds layers in images that were pushed before: every image that is
// built says in its history which step's key made which layer. They stay where
// they are. What is in a layer is what the registry says it is, so only images
// are asked that whoever builds trusts as much as the result.
type Memory struct {
	// Client gets the images.
	Client *Client
	// Refs name them, in the order in which they are asked.
	Refs []string

	mu     sync.Mutex
	images map[string][]recalled // by platform, once somebody asked
}

// recalled is an image that was pushed before.
type recalled struct {
	ref     string
	diffIDs []v1.Hash
	layers  []v1.Layer
	entries []remembered // of the history, one for each layer
}

// remembered is what an entry of the history says of a layer.
type remembered struct {
	key      string // of the step; empty for those of others
	found    bool   // it has what looks like a secret
	part, of int    // it is this one of the step's layers, from 1
	name     string // what is in it, if there are several
	sketches []sketch
}

// keyComment begins the comment of a layer's entry in the history; the step's
// key follows.
const keyComment = "kanso "

// find looks for the layers that a step's key made, in images that stand on the
// same base: its diff ids, bottom first.
func (m *Memory) find(ctx context.Context, key string, base []v1.Hash, platform v1.Platform) foundLayers {
	if m == nil {
		return foundLayers{}
	}
	for _, r := range m.load(ctx, platform) {
		if !startsWith(r.diffIDs, base) {
			continue
		}
		for i := len(base); i < len(r.layers); i++ {
			if e := r.entries[i]; e.key == key && e.part == 1 && whole(r.entries[i:]) {
				return r.step(i, e.of)
			}
		}
	}
	return foundLayers{}
}

// whole says whether entries of the history begin with all those of one step.
func whole(entries []remembered) bool {
	first := entries[0]
	if len(entries) < first.of {
		return false
	}
	for i, e := range entries[:first.of] {
		if e.key != first.key || e.part != i+1 || e.of != first.of {
			return false
		}
	}
	return true
}

// step are n layers of an image from number i on.
func (r recalled) step(i, n int) foundLayers {
	f := foundLayers{from: r.ref}
	for ; n > 0; n-- {
		f.list = append(f.list, foundLayer{Layer: r.layers[i], diffID: r.diffIDs[i], name: r.entries[i].name, found: r.entries[i].secrets(r.ref)})
		i++
	}
	return f
}

// startsWith says whether layers begin with others.
func startsWith(all, first []v1.Hash) bool {
	return len(all) >= len(first) && slices.Equal(all[:len(first)], first)
}

// load reads the images. One that is not there, or is none, remembers nothing.
func (m *Memory) load(ctx context.Context, platform v1.Platform) []recalled {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := platform.String()
	if list, ok := m.images[at]; ok {
		return list
	}
	list := []recalled{}
	for _, ref := range m.Refs {
		base, err := m.Client.Base(ctx, ref, at)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				m.Client.progress().Note("layers made before: " + err.Error())
			}
			continue
		}
		if r, ok := recall(ref, base.Image); ok {
			list = append(list, r)
		}
	}
	if m.images == nil {
		m.images = map[string][]recalled{}
	}
	if ctx.Err() == nil {
		m.images[at] = list
	}
	return list
}

// recall reads the keys in an image's history.
func recall(ref string, img v1.Image) (r recalled, ok bool) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return recalled{}, false
	}
	r = recalled{ref: ref, diffIDs: cfg.RootFS.DiffIDs}
	if r.layers, err = img.Layers(); err != nil || len(r.layers) != len(r.diffIDs) {
		return recalled{}, false
	}
	r.entries, ok = entriesIn(cfg)
	return r, ok
}

// entriesIn reads what a history says of each layer, if it tells of all.
func entriesIn(cfg *v1.ConfigFile) (entries []remembered, ok bool) {
	for _, h := range cfg.History {
		if !h.EmptyLayer {
			entries = append(entries, rememberedIn(h))
		}
	}
	return entries, len(entries) == len(cfg.RootFS.DiffIDs)
}

// rememberedIn reads an entry of a history.
func rememberedIn(h v1.History) remembered {
	e := remembered{part: 1, of: 1}
	rest, ok := strings.CutPrefix(h.Comment, keyComment)
	if !ok {
		return e
	}
	e.key, rest, _ = strings.Cut(rest, " ")
	rest, _, _ = strings.Cut(rest, " ")
	e.found = strings.HasSuffix(rest, foundMark)
	if e.part, e.of = numbersOf(rest); e.of > 1 {
		e.name = nameIn(h.CreatedBy)
	}
	e.sketches = sketchesIn(h.Comment)
	return e
}
