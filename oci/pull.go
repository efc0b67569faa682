package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The kinds of values under which manifests and configurations are kept, by
// digest.
const (
	manifestKind = "manifest"
	configKind   = "config"
)

// registryBase finds an image in a registry or one of its mirrors.
func (c *Client) registryBase(ctx context.Context, s string, want *v1.Platform) (Base, error) {
	ref, err := name.ParseReference(s, c.nameOptions(s)...)
	if err != nil {
		return Base{}, err
	}
	if climbs(ref.Context().RepositoryStr()) {
		return Base{}, errors.New("a repository is no path that climbs")
	}
	places, err := c.places(c.pinned(s, ref))
	if err != nil {
		return Base{}, err
	}
	var firstErr error
	for i, p := range places {
		img, err := c.registryImage(ctx, s, p, want)
		if err == nil {
			return Base{Image: img, Name: canonical(ref)}, nil
		}
		if ctx.Err() != nil {
			return Base{}, context.Cause(ctx)
		}
		if _, ok := err.(*PlatformError); ok { //nolint:errorlint // as choose made it
			return Base{}, err
		}
		if i < len(places)-1 {
			c.progress().Note(fmt.Sprintf("mirror %s: %v", p.Context().RegistryStr(), err))
		}
		firstErr = err
	}
	return Base{}, firstErr
}

// registryImage reads manifest and configuration of an image in one place.
func (c *Client) registryImage(ctx context.Context, given string, ref name.Reference, want *v1.Platform) (*assembled, error) {
	digest, data, err := c.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	from := remoteBlobs{ctx, c, ref.Context()}
	for range 3 { // an index, perhaps of indexes
		if data == nil {
			if data, err = c.manifest(ctx, ref.Context().Digest(digest.String())); err != nil {
				return nil, err
			}
		}
		mt, err := mediaTypeOf(data)
		if err != nil {
			return nil, err
		}
		if err := single(data); err != nil {
			return nil, err
		}
		if !mt.IsIndex() {
			img, err := c.cachedImage(data, from)
			if err == nil {
				c.noteStanding(ref, img)
			}
			return img, err
		}
		index, err := v1.ParseIndexManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		d, err := choose(given, index, want)
		if err != nil {
			return nil, err
		}
		digest, data = d.Digest, nil
	}
	return nil, errors.New("index within index within index")
}

// cachedImage is [readImage] with the configuration from the cache, if it is
// there.
func (c *Client) cachedImage(manifest []byte, from remoteBlobs) (*assembled, error) {
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var img *assembled
	read := func() (err error) {
		img, err = c.readCached(manifest, m.Config.Digest, from)
		return err
	}
	err = c.onceFor(from.ctx, configKind+" "+from.repo.Name()+" "+m.Config.Digest.String(), read)
	if err == nil && img == nil { // somebody else did
		err = read()
	}
	return img, err
}

// readCached reads the configuration, if the cache has none, and keeps it.
func (c *Client) readCached(manifest []byte, digest v1.Hash, from remoteBlobs) (img *assembled, err error) {
	config, ok := c.value(configKind, digest.String())
	if ok && verified(config, digest) == nil {
		return readImage(manifest, config, from)
	}
	err = c.retried(from.ctx, "configuration", func() (err error) {
		img, err = readImage(manifest, nil, from)
		return err
	})
	if err == nil {
		c.keep(configKind, digest.String(), img.config)
	}
	return img, err
}

// mediaTypeOf says what kind of document a manifest is.
func mediaTypeOf(data []byte) (types.MediaType, error) {
	m, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("read manifest: %w", err)
	}
	if m.MediaType == "" && m.Manifests != nil {
		return types.OCIImageIndex, nil
	}
	return m.MediaType, nil
}

// head asks what a tag is.
func (c *Client) head(ctx context.Context, ref name.Reference) (v1.Hash, []byte, error) {
	puller, err := c.puller()
	if err != nil {
		return v1.Hash{}, nil, err
	}
	d, err := puller.Head(ctx, ref)
	if err == nil {
		return d.Digest, nil, nil
	}
	if spent := (*spentError)(nil); errors.As(err, &spent) {
		return v1.Hash{}, nil, err
	}
	got, err := c.get(ctx, ref)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	return got.Digest, got.Manifest, verified(got.Manifest, got.Digest)
}

// manifest reads a manifest by digest.
func (c *Client) manifest(ctx context.Context, ref name.Digest) ([]byte, error) {
	want, err := v1.NewHash(ref.DigestStr())
	if err != nil {
		return nil, err
	}
	if data, ok := c.value(manifestKind, want.String()); ok && verified(data, want) == nil {
		return data, nil
	}
	var data []byte
	err = c.onceFor(ctx, manifestKind+" "+ref.Name(), func() error {
		data, err = c.getManifest(ctx, ref, want)
		return err
	})
	if err != nil || data != nil {
		return data, err
	}
	if data, ok := c.value(manifestKind, want.String()); ok && verified(data, want) == nil {
		return data, nil // somebody else got it meanwhile
	}
	return c.getManifest(ctx, ref, want)
}

// getManifest gets a manifest by digest, and keeps it.
func (c *Client) getManifest(ctx context.Context, ref name.Digest, want v1.Hash) ([]byte, error) {
	got, err := c.get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := verified(got.Manifest, want); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	c.keep(manifestKind, want.String(), got.Manifest)
	return got.Manifest, nil
}

// get reads a manifest, again if it breaks off.
func (c *Client) get(ctx context.Context, ref name.Reference) (got *remote.Descriptor, err error) {
	puller, err := c.puller()
	if err != nil {
		return nil, err
	}
	err = c.retried(ctx, "manifest", func() error {
		got, err = puller.Get(ctx, ref)
		return err
	})
	return got, explained(err)
}

// remoteBlobs are the blobs of a repository.
type remoteBlobs struct {
	ctx  context.Context //nolint:containedctx // v1.Layer has no place for one
	c    *Client
	repo name.Repository
}

func (b remoteBlobs) open(d v1.Descriptor) (io.ReadCloser, error) {
	if b.c.Cache != nil {
		if file, ok := b.c.Cache.Blob(d.Digest); ok {
			return os.Open(file)
		}
	}
	puller, err := b.c.puller()
	if err != nil {
		return nil, err
	}
	l, err := puller.Layer(b.ctx, b.repo.Digest(d.Digest.String()))
	if err != nil {
		return nil, explained(err)
	}
	r, err := l.Compressed()
	if err != nil {
		return nil, explained(err)
	}
	return checkBlob(&rangedReader{b: b, d: d, r: r}, d), nil
}

func (b remoteBlobs) file(digest v1.Hash) (string, bool) {
	if b.c.Cache == nil {
		return "", false
	}
	return b.c.Cache.Blob(digest)
}

func (b remoteBlobs) repository() (name.Repository, bool) { return b.repo, true }

// Fetch returns a host file with the compressed bytes of a base's layer, read
// into the cache if it is nowhere on this machine. The file must not be
// changed. Transfers that break are begun again.
func (c *Client) Fetch(ctx context.Context, l v1.Layer) (string, error) {
	return c.fetchTo(ctx, l, nil)
}

// fetchTo is [Client.Fetch] that also gives the bytes to a follower as they come,
// nil for nobody. If they are on this machine already it gets none.
func (c *Client) fetchTo(ctx context.Context, l v1.Layer, f *follower) (string, error) {
	far, ok := l.(*farLayer)
	if !ok {
		return "", fmt.Errorf("layer of type %T is not one of a base", l)
	}
	if file, ok := c.here(far); ok {
		return file, nil
	}
	digest := far.desc.Digest
	if c.Cache == nil {
		return "", fmt.Errorf("layer %s: no cache to keep it in", digest)
	}
	err := c.retried(ctx, "layer "+short(digest), func() error { return c.fetch(ctx, far, f) })
	if err != nil {
		return "", fmt.Errorf("layer %s: %w", digest, err)
	}
	file, ok := c.Cache.Blob(digest)
	if !ok {
		return "", fmt.Errorf("layer %s is gone from the cache", digest)
	}
	return file, nil
}

// here returns the file of a layer that is on this machine.
func (c *Client) here(far *farLayer) (string, bool) {
	if file, ok := far.from.file(far.desc.Digest); ok || c.Cache == nil {
		return file, ok
	}
	return c.Cache.Blob(far.desc.Digest)
}

func (c *Client) fetch(ctx context.Context, far *farLayer, f *follower) (err error) {
	add, done := c.progress().Bytes("pull "+short(far.desc.Digest), far.desc.Size)
	defer func() { done(err) }()
	return c.Cache.PutBlob(ctx, func(w io.Writer) (v1.Hash, error) {
		r, err := far.Compressed()
		if err != nil {
			return v1.Hash{}, err
		}
		_, err = io.Copy(f.beside(w), counted(r, add))
		if e := r.Close(); err == nil {
			err = e
		}
		f.end(err)
		return far.desc.Digest, err
	})
}

// counted tells add of what is read.
func counted(r io.Reader, add func(int64)) io.Reader { return &counter{r, add} }

type counter struct {
	r   io.Reader
	add func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.add(int64(n))
	return n, err
}

// short is enough of a digest to tell it from others on a screen.
func short(h v1.Hash) string {
	if len(h.Hex) > 12 {
		return h.Hex[:12]
	}
	return h.Hex
}
