package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kanso-build/kanso/layers"
)

// documentLimit is the size in bytes up to which manifests and configurations
// are read.
const documentLimit = 8 << 20

// blobs is where the blobs of an image lie.
type blobs interface {
	// open reads a blob; a wrong digest is an error at its end.
	open(d v1.Descriptor) (io.ReadCloser, error)
	// file is the host file that holds a blob, if there is one.
	file(digest v1.Hash) (string, bool)
	// repository is the repository that blobs are in, if it is one.
	repository() (name.Repository, bool)
}

// readImage checks a manifest and returns its image, whose layers stay where
// they are. config may be nil; it is read then.
func readImage(manifest, config []byte, from blobs) (*assembled, error) {
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.MediaType == "" {
		m.MediaType = types.OCIManifestSchema1
	}
	if !m.MediaType.IsImage() || m.SchemaVersion != 2 {
		return nil, fmt.Errorf("manifest of type %q, schema %d: not an image", m.MediaType, m.SchemaVersion)
	}
	if config == nil {
		if config, err = readBlob(from, m.Config); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	cfg, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("manifest has %d layers, configuration %d", len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	img := &assembled{config: config, manifest: manifest, parsedConfig: cfg, parsedManifest: m}
	for i, d := range m.Layers {
		if d.Size < 0 {
			return nil, fmt.Errorf("layer %s: negative size", d.Digest)
		}
		img.layers = append(img.layers, &farLayer{d, cfg.RootFS.DiffIDs[i], from})
	}
	return img, nil
}

// readBlob reads a small blob whole and checks its digest.
func readBlob(from blobs, d v1.Descriptor) ([]byte, error) {
	r, err := from.open(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, documentLimit+1))
	if err != nil {
		return nil, err
	}
	return data, verified(data, d.Digest)
}

// verified is nil if data has the digest.
func verified(data []byte, want v1.Hash) error {
	if len(data) > documentLimit {
		return fmt.Errorf("%s is longer than %d bytes", want, documentLimit)
	}
	got, _, err := v1.SHA256(bytes.NewReader(data))
	if err == nil && got != want {
		err = fmt.Errorf("got %s, not %s", got, want)
	}
	return err
}

// farLayer is a layer that is read where it is.
type farLayer struct {
	desc   v1.Descriptor
	diffID v1.Hash
	from   blobs
}

var _ v1.Layer = (*farLayer)(nil)

func (l *farLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *farLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *farLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *farLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *farLayer) Compressed() (io.ReadCloser, error)  { return l.from.open(l.desc) }

func (l *farLayer) Uncompressed() (io.ReadCloser, error) {
	z, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	r, err := layers.Decompress(z)
	if err != nil {
		z.Close()
		return nil, err
	}
	return &nested{r, z}, nil
}

// checkedReader reads a blob and makes a wrong size or digest an error.
type checkedReader struct {
	r    io.ReadCloser
	want v1.Descriptor
	h    hash.Hash
	n    int64
}

func checkBlob(r io.ReadCloser, want v1.Descriptor) io.ReadCloser {
	return &checkedReader{r: r, want: want, h: sha256.New()}
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	switch {
	case c.want.Size > 0 && c.n > c.want.Size:
		return n, fmt.Errorf("blob %s is longer than %d bytes", c.want.Digest, c.want.Size)
	case !errors.Is(err, io.EOF):
		return n, err
	case c.want.Size > 0 && c.n < c.want.Size:
		return n, fmt.Errorf("blob %s has %d bytes of %d: %w", c.want.Digest, c.n, c.want.Size, io.ErrUnexpectedEOF)
	case hex.EncodeToString(c.h.Sum(nil)) != c.want.Digest.Hex:
		return n, fmt.Errorf("blob %s: what was read has another digest", c.want.Digest)
	}
	return n, io.EOF
}

func (c *checkedReader) Close() error { return c.r.Close() }
