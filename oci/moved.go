package oci

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A MovedError says that a reference does not lead to the image any more that it
// has to be.
type MovedError struct {
	Ref        string
	Have, Want v1.Hash
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("base %s: it is %s now, and was %s", e.Ref, e.Have, e.Want)
}

// pinned is a reference to the digest that it has to have, if one is known.
func (c *Client) pinned(s string, ref name.Reference) name.Reference {
	if h, ok := c.Pins[s]; ok {
		return ref.Context().Digest(h.String())
	}
	return ref
}

// checkPin says whether a base is the one that it has to be.
func (c *Client) checkPin(b Base) error {
	if want, ok := c.Pins[b.Ref]; ok && b.Digest != want {
		return &MovedError{Ref: b.Ref, Have: b.Digest, Want: want}
	}
	return nil
}
