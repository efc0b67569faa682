package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
)

// A Difference is something in which two images are not the same.
type Difference struct {
	// Where is "layer 3 (COPY ...)", "configuration" or "manifest".
	Where string `json:"where"`
	// Path is that of a file in the image; empty if it is about none.
	Path string `json:"path,omitempty"`
	// What says in which way: "content", "mode", "owner", ...
	What string `json:"what"`
}

func (d Difference) String() string {
	if d.Path == "" {
		return d.Where + ": " + d.What
	}
	return d.Where + ": " + printable(d.Path) + ": " + d.What
}

// printable is a name from an image in a form that no terminal acts upon.
func printable(s string) string {
	if q := strconv.Quote(s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

// Differences returns in what an image is not as another one that was built like
// it: file by file, where layers differ, and then in its configuration and its
// manifest. Only layers that differ are read, whole, and what was noted of them
// earlier is not believed. That they are the same byte for byte is for digests to
// say.
func Differences(ctx context.Context, image, built v1.Image) ([]Difference, error) {
	c := comparison{ctx: ctx}
	for _, side := range []struct {
		img v1.Image
		to  *side
	}{{image, &c.image}, {built, &c.built}} {
		if err := side.to.open(side.img); err != nil {
			return nil, err
		}
	}
	if err := c.layers(); err != nil {
		return nil, err
	}
	if err := c.documents(); err != nil {
		return nil, err
	}
	if len(c.found) == 0 {
		c.add("manifest", "", "its bytes")
	}
	return c.found, nil
}

// side is one of the two images.
type side struct {
	img    v1.Image
	config *v1.ConfigFile
	layers []v1.Layer
	steps  []string // by layer
}

func (s *side) open(img v1.Image) (err error) {
	s.img = img
	if s.config, err = img.ConfigFile(); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if s.layers, err = img.Layers(); err != nil {
		return fmt.Errorf("read layers: %w", err)
	}
	for _, h := range s.config.History {
		if !h.EmptyLayer {
			s.steps = append(s.steps, h.CreatedBy)
		}
	}
	return nil
}

// comparison collects differences.
type comparison struct {
	ctx          context.Context //nolint:containedctx // it lives as long as the call
	image, built side
	found        []Difference
}

func (c *comparison) add(where, path, format string, args ...any) {
	c.found = append(c.found, Difference{where, path, fmt.Sprintf(format, args...)})
}

// where names layer number i.
func (c *comparison) where(i int) string {
	name := fmt.Sprintf("layer %d", i+1)
	if i < len(c.image.steps) {
		text := printable(c.image.steps[i])
		if len(text) > 60 {
			text = strings.ToValidUTF8(text[:57], "") + "..."
		}
		name += " (" + text + ")"
	}
	return name
}

// layers compares layer by layer, as long as they are of the same steps, and what
// is left of both images as a whole.
func (c *comparison) layers() error {
	have, want := len(c.image.layers), len(c.built.layers)
	if have != want {
		c.add("manifest", "", "it has %d layers, %d built again", have, want)
	}
	for i := range max(have, want) {
		if i >= have || i >= want {
			return c.rest(i)
		}
		a, err := c.image.layers[i].Digest()
		if err != nil {
			return fmt.Errorf("read layer %d: %w", i+1, err)
		}
		b, err := c.built.layers[i].Digest()
		if err != nil {
			return fmt.Errorf("read layer %d: %w", i+1, err)
		}
		switch {
		case a == b:
			continue
		case have != want || c.image.step(i) != c.built.step(i):
			return c.rest(i)
		}
		if err := c.layer(i); err != nil {
			return err
		}
	}
	return nil
}

// step is what made layer number i, by the history.
func (s *side) step(i int) string {
	if i < len(s.steps) {
		return s.steps[i]
	}
	return ""
}

// rest compares what layers from number i on hold together, whichever of them has
// it.
func (c *comparison) rest(i int) error {
	where := fmt.Sprintf("layers from %d on", i+1)
	var a, b layers.Listing
	for n, l := range c.image.layers[min(i, len(c.image.layers)):] {
		list, _, err := c.list(l)
		if err != nil {
			c.add(c.where(i+n), "", "it cannot be read: %v", err)
			return context.Cause(c.ctx)
		}
		a.Entries = append(a.Entries, list.Entries...)
	}
	for _, l := range c.built.layers[min(i, len(c.built.layers)):] {
		list, _, err := c.list(l)
		if err != nil {
			return fmt.Errorf("read %s: %w", where, err)
		}
		b.Entries = append(b.Entries, list.Entries...)
	}
	c.entries(where, a, b)
	return nil
}

// layer compares the layers number i, whose digests differ.
func (c *comparison) layer(i int) error {
	where := c.where(i)
	a, id, err := c.list(c.image.layers[i])
	if err != nil {
		// It is not what was built, or could not be read: both are for the user.
		c.add(where, "", "it cannot be read: %v", err)
		return context.Cause(c.ctx)
	}
	b, builtID, err := c.list(c.built.layers[i])
	if err != nil {
		return fmt.Errorf("read %s: %w", where, err)
	}
	if ids := c.image.config.RootFS.DiffIDs; i < len(ids) && ids[i].String() != id {
		c.add(where, "", "it is %s, and its configuration says %s", id, ids[i])
	}
	before := len(c.found)
	c.entries(where, a, b)
	switch {
	case len(c.found) > before:
	case id != builtID:
		c.add(where, "", "the same files in another order or form")
	default:
		c.add(where, "", "the same tar, compressed in another way")
	}
	return nil
}

// list reads a layer whole: what it holds, and its real diff id.
func (c *comparison) list(l v1.Layer) (list layers.Listing, diffID string, err error) {
	r, err := l.Compressed()
	if err != nil {
		return list, "", err
	}
	defer r.Close()
	z, err := layers.Decompress(r)
	if err != nil {
		return list, "", err
	}
	defer z.Close()
	sum := newSum(z)
	if list, err = layers.List(c.ctx, sum); err != nil {
		return list, "", err
	}
	if _, err = io.Copy(io.Discard, sum); err != nil {
		return list, "", err
	}
	_, err = io.Copy(io.Discard, r) // what follows belongs to the digest, too
	return list, sum.digest(), err
}

// documents compares configurations and manifests but for what names layers.
func (c *comparison) documents() error {
	for _, d := range []struct {
		where  string
		of     func(v1.Image) ([]byte, error)
		layers []string // the keys that are about layers
	}{
		{"configuration", v1.Image.RawConfigFile, []string{"rootfs"}},
		{"manifest", v1.Image.RawManifest, []string{"layers", "config"}},
	} {
		var docs [2]map[string]any
		for i, img := range []v1.Image{c.image.img, c.built.img} {
			raw, err := d.of(img)
			if err != nil {
				return fmt.Errorf("read %s: %w", d.where, err)
			}
			if err := json.Unmarshal(raw, &docs[i]); err != nil {
				return fmt.Errorf("read %s: %w", d.where, err)
			}
			for _, key := range d.layers {
				delete(docs[i], key)
			}
		}
		c.values(d.where, "", docs[0], docs[1])
	}
	return nil
}

// values compares two objects key by key, and what is in them.
func (c *comparison) values(where, prefix string, a, b map[string]any) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		x, y := encoded(a[k]), encoded(b[k])
		if bytes.Equal(x, y) {
			continue
		}
		if ax, ok := partsOfValue(a[k]); ok {
			if by, ok := partsOfValue(b[k]); ok {
				c.values(where, prefix+k+".", ax, by)
				continue
			}
		}
		c.add(where, "", "%s is %s, built again %s", prefix+k, shortened(x), shortened(y))
	}
}

// partsOfValue are the values in an object by their keys, or in an array by their
// numbers.
func partsOfValue(v any) (map[string]any, bool) {
	if list, ok := v.([]any); ok {
		out := make(map[string]any, len(list))
		for i, one := range list {
			out[fmt.Sprintf("%03d", i)] = one
		}
		return out, true
	}
	m, ok := v.(map[string]any)
	return m, ok
}

func encoded(v any) []byte {
	data, _ := json.Marshal(v) // it was decoded from JSON
	return data
}

func shortened(data []byte) string {
	const most = 100
	if len(data) > most {
		return strings.ToValidUTF8(string(data[:most]), "") + "..."
	}
	return string(data)
}
