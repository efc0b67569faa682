package oci

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// question is what a registry was asked of a tag, or is being asked. Once done is
// closed the rest stands.
type question struct {
	done   chan struct{}
	digest v1.Hash
	data   []byte // of the manifest, if it had to be read
	err    error  // wraps [ErrNotFound], or the question is asked anew
}

// Expect begins to ask for a base that will be wanted soon. What goes wrong is
// told to whoever wants it then.
func (c *Client) Expect(ctx context.Context, ref, platform string) {
	go func() { _, _ = c.Base(ctx, ref, platform) }()
}

// ExpectTag begins to ask what is under a tag.
func (c *Client) ExpectTag(ctx context.Context, tag name.Tag) {
	go func() { _, _, _ = c.resolve(ctx, tag) }()
}

// resolve turns a tag into a digest, with one HEAD. Where a registry answers
// no HEAD the manifest itself is read. A tag is asked once, so that all of a build
// sees the same image there, if it is not what this client put there.
func (c *Client) resolve(ctx context.Context, ref name.Reference) (v1.Hash, []byte, error) {
	if d, ok := ref.(name.Digest); ok {
		h, err := v1.NewHash(d.DigestStr())
		return h, nil, err
	}
	for {
		q, mine := c.ask(ref.Name())
		if mine {
			q.digest, q.data, q.err = c.head(ctx, ref)
			if errors.Is(q.err, ErrNotFound) {
				c.findStanding(ctx, ref.Context())
			}
			if q.err != nil && !errors.Is(q.err, ErrNotFound) || q.data != nil && !json.Valid(q.data) {
				c.forget(ref.Name(), q)
			}
			close(q.done)
			return q.digest, q.data, q.err
		}
		select {
		case <-q.done:
			if q.err == nil || errors.Is(q.err, ErrNotFound) {
				return q.digest, q.data, q.err
			}
		case <-ctx.Done():
			return v1.Hash{}, nil, context.Cause(ctx)
		}
	}
}

// ask returns the question after a tag, and whether it is the caller's to answer.
func (c *Client) ask(tag string) (q *question, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q, ok := c.tags[tag]; ok {
		return q, false
	}
	q = &question{done: make(chan struct{})}
	if c.tags == nil {
		c.tags = map[string]*question{}
	}
	c.tags[tag] = q
	return q, true
}

// forget lets a question be asked again.
func (c *Client) forget(tag string, q *question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags[tag] == q {
		delete(c.tags, tag)
	}
}

// noteTag remembers what a tag is, since it was put there.
func (c *Client) noteTag(ref name.Reference, digest v1.Hash) {
	q := &question{done: make(chan struct{}), digest: digest}
	close(q.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags == nil {
		c.tags = map[string]*question{}
	}
	c.tags[ref.Name()] = q
}

// tagged says whether a tag is an image already, or was it when the build began.
func (c *Client) tagged(ctx context.Context, tag name.Tag, digest v1.Hash) bool {
	is, _, err := c.resolve(ctx, tag)
	return err == nil && is == digest
}
