package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	if err := single(manifest); err != nil {
		return nil, err
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Size < 0 {
			return nil, fmt.Errorf("blob %s: negative size", d.Digest)
		}
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
		img.layers = append(img.layers, &farLayer{d, cfg.RootFS.DiffIDs[i], from})
	}
	return img, nil
}

// single refuses a document that is an image and an index in one: which of them
// it is would depend on who reads it.
func single(manifest []byte) error {
	var m struct {
		Layers    json.RawMessage `json:"layers"`
		Config    json.RawMessage `json:"config"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if m.Manifests != nil && (m.Layers != nil || m.Config != nil) {
		return errors.New("the manifest is both an image and an index")
	}
	return nil
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
	return l.checked(&nested{r, z}), nil
}

// checked is the tar of the layer, which [finish] compares with its diff id.
func (l *farLayer) checked(r io.ReadCloser) io.ReadCloser {
	h := sha256.New()
	return &diffReader{r: r, tee: io.TeeReader(r, h), h: h, want: l.diffID}
}

// diffReader reads the tar of a layer. What is kept under a diff id is for every
// image that has it: the configuration of one may not say what it is for others.
type diffReader struct {
	r    io.ReadCloser
	tee  io.Reader
	h    hash.Hash
	want v1.Hash
}

func (d *diffReader) Read(p []byte) (int, error) { return d.tee.Read(p) }
func (d *diffReader) Close() error               { return d.r.Close() }

// finish reads what is left of a layer that [farLayer.Uncompressed] opened and
// says whether it is the one that the configuration names. Others are not
// looked at.
func finish(r io.Reader) error {
	d, ok := r.(*diffReader)
	if !ok {
		return nil
	}
	if _, err := io.Copy(io.Discard, d); err != nil {
		return err
	}
	if got := hex.EncodeToString(d.h.Sum(nil)); got != d.want.Hex {
		return fmt.Errorf("it is sha256:%s, not %s as the configuration says", got, d.want)
	}
	return nil
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
	case c.n > c.want.Size:
		return n, fmt.Errorf("blob %s is longer than %d bytes", c.want.Digest, c.want.Size)
	case !errors.Is(err, io.EOF):
		return n, err
	case c.n < c.want.Size:
		return n, fmt.Errorf("blob %s has %d bytes of %d: %w", c.want.Digest, c.n, c.want.Size, io.ErrUnexpectedEOF)
	case hex.EncodeToString(c.h.Sum(nil)) != c.want.Digest.Hex:
		return n, fmt.Errorf("blob %s: what was read has another digest", c.want.Digest)
	}
	return n, io.EOF
}

func (c *checkedReader) Close() error { return c.r.Close() }
