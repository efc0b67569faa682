package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
)

// modulesKind is the kind of value under which the cache keeps ZenML's modules
// of a base, by its digest.
const modulesKind = "zenml-modules"

// inPackage finds a path below ZenML's package.
var inPackage = regexp.MustCompile(`(?:^|/)(?:site|dist)-packages/zenml/(.+)$`)

// Modules implements [resolve.Bases]. Layers are read from the top down, those
// first of which the history says that they brought ZenML, until one has it.
func (b bases) Modules(ctx context.Context, ref, platform string) ([]resolve.Module, error) {
	base, err := b.client.Base(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	var modules []resolve.Module
	if b.client.Cache != nil {
		data, ok, err := b.client.Cache.Value(modulesKind, base.Digest.String())
		if err == nil && ok && json.Unmarshal(data, &modules) == nil {
			return modules, nil
		}
	}
	list, err := base.Image.Layers()
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", ref, err)
	}
	for _, i := range likely(base, len(list)) {
		if modules, err = modulesOf(ctx, list[i]); err != nil {
			return nil, fmt.Errorf("base %s: read ZenML's modules: %w", ref, err)
		}
		if len(modules) > 0 {
			break
		}
	}
	if b.client.Cache != nil {
		if data, err := json.Marshal(modules); err == nil {
			_ = b.client.Cache.PutValue(modulesKind, base.Digest.String(), data) // it is read again if it is not kept
		}
	}
	return modules, nil
}

// likely are the numbers of layers, the likeliest to have ZenML first.
func likely(base oci.Base, count int) []int {
	var first, rest []int
	told := map[int]bool{}
	if cfg, err := base.Image.ConfigFile(); err == nil {
		layer := 0
		for _, h := range cfg.History {
			if h.EmptyLayer {
				continue
			}
			told[layer] = strings.Contains(strings.ToLower(h.CreatedBy), "zenml")
			layer++
		}
	}
	for i := count - 1; i >= 0; i-- {
		if told[i] {
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(first, rest...)
}

// modulesOf reads ZenML's modules from a layer.
func modulesOf(ctx context.Context, l v1.Layer) ([]resolve.Module, error) {
	r, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var modules []resolve.Module
	err = layers.Each(ctx, r, func(e layers.Entry, content io.Reader) error {
		m := inPackage.FindStringSubmatch(e.Path)
		if m == nil || !resolve.IsModule(m[1]) || content == nil {
			return nil
		}
		data, err := io.ReadAll(io.LimitReader(content, 1<<20))
		modules = append(modules, resolve.Module{Path: m[1], Text: string(data)})
		return err
	})
	return modules, err
}
