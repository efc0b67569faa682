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
	keys    []string // of the layers; empty for those of others

	sketches [][]sketch // that the layers' steps asked for
}

// keyComment begins the comment of a layer's entry in the history; the step's
// key follows.
const keyComment = "kanso "

// find looks for the layer that a step's key made, in images that stand on the
// same base: its diff ids, bottom first.
func (m *Memory) find(ctx context.Context, key string, base []v1.Hash, platform v1.Platform) (l v1.Layer, diffID v1.Hash, ref string, ok bool) {
	if m == nil {
		return nil, diffID, "", false
	}
	for _, r := range m.load(ctx, platform) {
		if !startsWith(r.diffIDs, base) {
			continue
		}
		for i := len(base); i < len(r.layers); i++ {
			if r.keys[i] == key {
				return r.layers[i], r.diffIDs[i], r.ref, true
			}
		}
	}
	return nil, diffID, "", false
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
func recall(ref string, img v1.Image) (recalled, bool) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return recalled{}, false
	}
	r := recalled{ref: ref, diffIDs: cfg.RootFS.DiffIDs}
	if r.layers, err = img.Layers(); err != nil || len(r.layers) != len(r.diffIDs) {
		return recalled{}, false
	}
	for _, h := range cfg.History {
		if h.EmptyLayer {
			continue
		}
		key := ""
		if rest, ok := strings.CutPrefix(h.Comment, keyComment); ok {
			key, _, _ = strings.Cut(rest, " ")
		}
		r.keys = append(r.keys, key)
		r.sketches = append(r.sketches, sketchesIn(h.Comment))
	}
	return r, len(r.keys) == len(r.layers)
}
