package oci

import (
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

// noteStanding remembers the layers of an image that a tag was found to be.
func (c *Client) noteStanding(ref name.Reference, img *assembled) {
	if _, ok := ref.(name.Tag); !ok {
		return // nobody asked for it now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := ref.Context().Name()
	s := c.stands[at]
	if s == nil {
		s = &standing{layers: map[v1.Hash]bool{}}
	}
	for _, d := range img.parsedManifest.Layers {
		s.layers[d.Digest] = true
	}
	if c.stands == nil {
		c.stands = map[string]*standing{}
	}
	c.stands[at] = s
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
