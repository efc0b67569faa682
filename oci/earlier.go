package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
)

// installsKind is the kind of value under which the store keeps what was
// installed, by all of a step's key but the requirements.
const installsKind = "installs-1"

// maxEarlier is how many installs are remembered that differ in requirements
// alone.
const maxEarlier = 6

// earlierInstall is what is remembered of an Install.
type earlierInstall struct {
	Key  string `json:"key"` // of the step
	Pins []pin  `json:"pins"`
}

// earlierInstalls are the installs that differ from one in their requirements
// alone, the latest first.
func (b *Builder) earlierInstalls(family string) []earlierInstall {
	var list []earlierInstall
	data, ok, err := b.Store.Value(installsKind, family)
	if err != nil || !ok || json.Unmarshal(data, &list) != nil {
		return nil // what cannot be read is not there
	}
	return list
}

// rememberInstall notes what was installed. That it cannot be noted is no error.
func (b *Builder) rememberInstall(family string, e earlierInstall) {
	list := slices.DeleteFunc(b.earlierInstalls(family), func(o earlierInstall) bool { return o.Key == e.Key })
	list = slices.Insert(list, 0, e)
	data, err := json.Marshal(list[:min(len(list), maxEarlier)])
	if err == nil {
		err = b.Store.PutValue(installsKind, family, data)
	}
	b.noteError("note what was installed", err)
	b.noteHashes(e)
}

// leftover is an earlier install whose layers and tree are there.
type leftover struct {
	earlierInstall
	found foundLayers
	chain v1.Hash // of its tree
}

// leftovers are the earlier installs on a state that something is left of.
func (b *Builder) leftovers(st *state, r Runner, family string) []leftover {
	var list []leftover
	for _, e := range b.earlierInstalls(family) {
		f, err := b.stored(b.storeKey(work{key: e.Key, runs: true}))
		if err != nil || len(f.list) == 0 {
			continue
		}
		stack := st.hashes()
		for _, l := range f.list {
			stack = append(stack, l.diffID)
		}
		if chain := treeOf(stack, len(f.list)); b.Store.HasTree(r.Trees(), chain) {
			list = append(list, leftover{e, f, chain})
		}
	}
	return list
}

// made are its layers by their diff ids.
func (l leftover) made() (map[string]made, error) {
	out := map[string]made{}
	for _, f := range l.found.list {
		digest, err := f.Digest()
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		size, err := f.Size()
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		kind, err := f.MediaType()
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		out[f.diffID.String()] = made{diffID: f.diffID, desc: v1.Descriptor{MediaType: kind, Size: size, Digest: digest}, found: f.found}
	}
	return out, nil
}

// earlier is what a sandbox needs to know of it. The tree stays until release.
func (b *Builder) earlier(ctx context.Context, r Runner, l leftover) (e layers.Earlier, release func(), err error) {
	for _, f := range l.found.list {
		list, err := b.listing(ctx, laid{Layer: f.Layer, diffID: f.diffID})
		if err != nil {
			return e, nil, err
		}
		e.Layers = append(e.Layers, layers.EarlierLayer{Name: f.diffID.String(), Listing: list})
	}
	e.Tree, release, err = b.Store.Tree(ctx, r.Trees(), l.chain, func(string) error { return errNoTree })
	return e, release, err
}
