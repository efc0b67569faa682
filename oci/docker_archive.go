package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kanso-build/kanso/layers"
)

// dockerEntry is a line of manifest.json in an archive as docker save writes
// it.
type dockerEntry struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// dockerBase finds an image in such an archive. The archive has layers and no
// manifest: one is made, with the layers compressed as we do it, once, into the
// cache.
func (c *Client) dockerBase(ctx context.Context, ref, place string) (Base, error) {
	file, tag := splitTag(place)
	from, err := openTar(file)
	if err != nil {
		return Base{}, err
	}
	data, err := from.read("manifest.json")
	if err != nil {
		return Base{}, err
	}
	var entries []dockerEntry
	if err := unmarshal("manifest.json", data, &entries); err != nil {
		return Base{}, err
	}
	entry, err := pick(entries, tag)
	if err != nil {
		return Base{}, err
	}
	config, err := from.read(entry.Config)
	if err != nil {
		return Base{}, err
	}
	img, err := c.dockerImage(ctx, from, entry, config)
	return Base{Image: img, Ref: ref}, err
}

// pick finds the entry with a name.
func pick(entries []dockerEntry, tag string) (dockerEntry, error) {
	if tag == "" && len(entries) == 1 {
		return entries[0], nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.RepoTags...)
		if slices.ContainsFunc(e.RepoTags, func(t string) bool { return t == tag || strings.HasSuffix(t, ":"+tag) && tag != "" }) {
			return e, nil
		}
	}
	return dockerEntry{}, fmt.Errorf("it has no image %q but %s: %w", tag, strings.Join(names, ", "), ErrNotFound)
}

func (c *Client) dockerImage(ctx context.Context, from *tarBlobs, e dockerEntry, config []byte) (v1.Image, error) {
	cfg, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(cfg.RootFS.DiffIDs) != len(e.Layers) {
		return nil, fmt.Errorf("manifest.json has %d layers, the configuration %d", len(e.Layers), len(cfg.RootFS.DiffIDs))
	}
	digest, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Layers: []v1.Descriptor{},
		Config: v1.Descriptor{MediaType: types.DockerConfigJSON, Digest: digest, Size: size},
	}
	blobs := &packedBlobs{c: c, from: from, names: map[v1.Hash]string{}}
	for i, file := range e.Layers {
		d, err := blobs.layer(ctx, file, cfg.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", file, err)
		}
		m.Layers = append(m.Layers, d)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return readImage(raw, config, blobs)
}

// packedBlobs are layers of an archive: those that are compressed there, in
// place, the others in the cache.
type packedBlobs struct {
	c     *Client
	from  *tarBlobs
	names map[v1.Hash]string // compressed in the archive

	packer layers.Packer
}

// packedKind is the kind of values under which the descriptors of compressed
// layers are kept, by diff id.
const packedKind = "packed"

// layer describes a layer of the archive.
func (b *packedBlobs) layer(ctx context.Context, file string, diffID v1.Hash) (v1.Descriptor, error) {
	m, err := b.from.member(file)
	if err != nil {
		return v1.Descriptor{}, err
	}
	r, _, err := b.from.section(file)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer r.Close()
	var magic [2]byte
	if _, err := io.ReadFull(r, magic[:]); err == nil && magic == [2]byte{0x1f, 0x8b} {
		h, _, err := v1.SHA256(io.MultiReader(bytes.NewReader(magic[:]), r))
		b.names[h] = file
		return v1.Descriptor{MediaType: types.DockerLayer, Digest: h, Size: m.Size}, err
	}
	return b.pack(ctx, file, diffID)
}

// pack compresses a layer into the cache, unless that was done before.
func (b *packedBlobs) pack(ctx context.Context, file string, diffID v1.Hash) (v1.Descriptor, error) {
	key := diffID.String() + " " + layers.Compression{}.String()
	var d v1.Descriptor
	if data, ok := b.c.value(packedKind, key); ok && json.Unmarshal(data, &d) == nil {
		if _, ok := b.c.Cache.Blob(d.Digest); ok {
			return d, nil
		}
	}
	if b.c.Cache == nil {
		return d, errors.New("it is not compressed, and there is no cache to compress it into")
	}
	var packed layers.Packed
	err := b.c.Cache.PutBlob(ctx, func(w io.Writer) (v1.Hash, error) {
		var err error
		packed, err = b.packer.Pack(ctx, w, layers.Compression{}, func(tar io.Writer) error {
			r, _, err := b.from.section(file)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(tar, r)
			return err
		})
		if err == nil && packed.DiffID != diffID {
			err = fmt.Errorf("it is %s, not %s as the configuration says", packed.DiffID, diffID)
		}
		return packed.Digest, err
	})
	if err != nil {
		return d, err
	}
	d = v1.Descriptor{MediaType: types.DockerLayer, Digest: packed.Digest, Size: packed.Size}
	data, err := json.Marshal(d)
	if err != nil {
		return d, err
	}
	b.c.keep(packedKind, key, data)
	return d, nil
}

func (b *packedBlobs) open(d v1.Descriptor) (io.ReadCloser, error) {
	if file, ok := b.names[d.Digest]; ok {
		r, _, err := b.from.section(file)
		if err != nil {
			return nil, err
		}
		return checkBlob(r, d), nil
	}
	file, ok := b.file(d.Digest)
	if !ok {
		return nil, fmt.Errorf("layer %s: %w", d.Digest, ErrNotFound)
	}
	return dirBlobs{}.openFile(file, d)
}

func (b *packedBlobs) file(h v1.Hash) (string, bool) {
	if b.c.Cache == nil {
		return "", false
	}
	return b.c.Cache.Blob(h)
}

func (*packedBlobs) repository() (name.Repository, bool) { return name.Repository{}, false }
