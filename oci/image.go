package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kanso-build/kanso/layers"
)

// assembled is an image whose manifest and configuration are final. Its layers
// are read when somebody asks for their bytes and not before.
type assembled struct {
	config, manifest []byte
	parsedConfig     *v1.ConfigFile
	parsedManifest   *v1.Manifest
	layers           []v1.Layer
}

var _ v1.Image = (*assembled)(nil)

// assemble makes an image from a configuration, which config encodes, and
// layers, whose media types are those of format, "docker" or "oci".
func assemble(cfg *v1.ConfigFile, config []byte, ls []v1.Layer, format string, annotations map[string]string) (*assembled, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("hash image configuration: %w", err)
	}
	m := &v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        v1.Descriptor{MediaType: types.OCIConfigJSON, Size: size, Digest: digest},
		Layers:        []v1.Descriptor{},
		Annotations:   annotations,
	}
	if format == formatDocker {
		m.MediaType, m.Config.MediaType, m.Annotations = types.DockerManifestSchema2, types.DockerConfigJSON, nil
	}
	typed := make([]v1.Layer, len(ls))
	for i, l := range ls {
		d, err := descriptor(l, format)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, d)
		typed[i] = retyped(l, d.MediaType)
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return &assembled{config, manifest, cfg, m, typed}, nil
}

// The two families of media types.
const (
	formatDocker = "docker"
	formatOCI    = "oci"
)

// ErrNeedsOCI is wrapped by the error for layers that are compressed with zstd
// in an image of Docker's format.
var ErrNeedsOCI = errors.New("Docker's media types have none for zstd") //nolint:staticcheck // a name begins it

// formatOf says which family an image's manifest belongs to.
func formatOf(img v1.Image) (string, error) {
	mt, err := img.MediaType()
	if err != nil {
		return "", fmt.Errorf("read media type: %w", err)
	}
	if mt == types.DockerManifestSchema2 {
		return formatDocker, nil
	}
	return formatOCI, nil
}

// descriptor describes a layer with the media type that it has in format. The
// bytes are the same in both; zstd has no name among Docker's types.
func descriptor(l v1.Layer, format string) (v1.Descriptor, error) {
	mt, err := l.MediaType()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read layer: %w", err)
	}
	digest, err := l.Digest()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read layer: %w", err)
	}
	size, err := l.Size()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read layer %s: %w", digest, err)
	}
	toDocker := map[types.MediaType]types.MediaType{
		types.OCILayer:             types.DockerLayer,
		types.OCIUncompressedLayer: types.DockerUncompressedLayer,
		types.OCIRestrictedLayer:   types.DockerForeignLayer,
	}
	switch {
	case format == formatDocker && mt == types.OCILayerZStd:
		return v1.Descriptor{}, fmt.Errorf("layer %s: %w", digest, ErrNeedsOCI)
	case format == formatDocker && toDocker[mt] != "":
		mt = toDocker[mt]
	case format == formatOCI:
		for o, d := range toDocker {
			if d == mt {
				mt = o
			}
		}
	}
	return v1.Descriptor{MediaType: mt, Size: size, Digest: digest}, nil
}

// retyped is a layer of ours with another media type; its bytes are the same.
func retyped(l v1.Layer, mt types.MediaType) v1.Layer {
	switch l := l.(type) {
	case storedLayer:
		l.desc.MediaType = mt
		return l
	case *farLayer:
		c := *l
		c.desc.MediaType = mt
		return &c
	}
	return l
}

func (i *assembled) Layers() ([]v1.Layer, error)         { return i.layers, nil }
func (i *assembled) MediaType() (types.MediaType, error) { return i.parsedManifest.MediaType, nil }
func (i *assembled) Size() (int64, error)                { return int64(len(i.manifest)), nil }
func (i *assembled) ConfigName() (v1.Hash, error)        { return i.parsedManifest.Config.Digest, nil }
func (i *assembled) ConfigFile() (*v1.ConfigFile, error) { return i.parsedConfig.DeepCopy(), nil }
func (i *assembled) RawConfigFile() ([]byte, error)      { return i.config, nil }
func (i *assembled) Manifest() (*v1.Manifest, error)     { return i.parsedManifest.DeepCopy(), nil }
func (i *assembled) RawManifest() ([]byte, error)        { return i.manifest, nil }
func (i *assembled) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(i.manifest))
	return h, err
}
func (i *assembled) LayerByDigest(h v1.Hash) (v1.Layer, error) { return i.find(h, v1.Layer.Digest) }
func (i *assembled) LayerByDiffID(h v1.Hash) (v1.Layer, error) { return i.find(h, v1.Layer.DiffID) }

func (i *assembled) find(want v1.Hash, of func(v1.Layer) (v1.Hash, error)) (v1.Layer, error) {
	for _, l := range i.layers {
		h, err := of(l)
		if err != nil {
			return nil, err
		}
		if h == want {
			return l, nil
		}
	}
	return nil, fmt.Errorf("layer %s: %w", want, ErrNotFound)
}

// storedLayer is a layer that a step made; its bytes are a file of the store.
type storedLayer struct {
	diffID v1.Hash
	desc   v1.Descriptor
	file   string
}

var _ v1.Layer = storedLayer{}

func (l storedLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l storedLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l storedLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l storedLayer) Compressed() (io.ReadCloser, error)  { return os.Open(l.file) }

func (l storedLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	r, err := layers.Decompress(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &nested{r, f}, nil
}

// nested closes a reader and what it reads from.
type nested struct {
	io.ReadCloser
	under io.Closer
}

func (n *nested) Close() error {
	err := n.ReadCloser.Close()
	if e := n.under.Close(); err == nil {
		err = e
	}
	return err
}
