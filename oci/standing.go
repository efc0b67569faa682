package oci

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// standing are the layers of images that a repository was seen to have. They need
// not be asked for one by one: a registry does not take a manifest whose layers it
// has lost, and then all are asked for.
type standing struct {
	layers  map[v1.Hash]bool
	relied  bool // on some of them
	doubted bool // the registry has not all of them
}

// pushedKind is the kind of value under which the cache keeps the digest of what was
// pushed last, by repository.
const pushedKind = "pushed"

// noteStanding remembers the layers of an image that a tag was found to be.
func (c *Client) noteStanding(ref name.Reference, img *assembled) {
	if _, ok := ref.(name.Tag); ok { // else nobody asked for it now
		c.stand(ref.Context(), img.parsedManifest.Layers)
	}
}

func (c *Client) stand(repo name.Repository, layers []v1.Descriptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stands[repo.Name()]
	if s == nil {
		s = &standing{layers: map[v1.Hash]bool{}}
	}
	for _, d := range layers {
		s.layers[d.Digest] = true
	}
	if c.stands == nil {
		c.stands = map[string]*standing{}
	}
	c.stands[repo.Name()] = s
}

// findStanding asks, where a tag is not there, whether what was pushed last to its
// repository from this machine is: one question for all layers that most builds
// have in common with it.
func (c *Client) findStanding(ctx context.Context, repo name.Repository) {
	text, ok := c.value(pushedKind, repo.Name())
	if !ok {
		return
	}
	digest, err := v1.NewHash(string(text))
	if err != nil {
		return
	}
	manifest, ok := c.value(manifestKind, digest.String())
	if !ok || verified(manifest, digest) != nil {
		return
	}
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return
	}
	puller, err := c.puller()
	if err != nil {
		return
	}
	if d, err := puller.Head(ctx, repo.Digest(digest.String())); err == nil && d.Digest == digest {
		c.stand(repo, m.Layers)
	}
}

// standsIn says whether a layer is one of an image in a repository.
func (c *Client) standsIn(repo name.Repository, l v1.Layer) bool {
	digest, err := l.Digest()
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stands[repo.Name()]
	if s == nil || s.doubted || !s.layers[digest] {
		return false
	}
	s.relied = true
	return true
}

// doubt says, once, whether a manifest that was refused may lack a layer that was
// relied on. Such layers are asked for from then on.
func (c *Client) doubt(repo name.Repository, refusal error) bool {
	var t *transport.Error
	if !errors.As(refusal, &t) || t.StatusCode != http.StatusBadRequest && t.StatusCode != http.StatusNotFound && t.StatusCode != http.StatusUnprocessableEntity {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stands[repo.Name()]
	if s == nil || s.doubted || !s.relied {
		return false
	}
	s.doubted = true
	return true
}
