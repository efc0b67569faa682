package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// A RefusedError says that a registry does not let us push.
type RefusedError struct {
	Repository string
	Status     int    // of the answer
	Code       string // of the error, as in the OCI distribution specification; may be empty
	Msg        string // what the registry says
	// Type is the media type of a manifest that was refused.
	Type types.MediaType
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("push to %s: the registry refuses it (%d): %s", e.Repository, e.Status, e.Msg)
}

// NoRepository says whether the registry has no such repository, and makes none
// by itself.
func (e *RefusedError) NoRepository() bool { return e.Code == string(transport.NameUnknownErrorCode) }

// ReadOnly says whether nothing at all can be pushed there, as with a mirror.
func (e *RefusedError) ReadOnly() bool {
	return e.Status == http.StatusMethodNotAllowed && e.Type == ""
}

// Immutable says whether the tag is another image and has to stay that.
func (e *RefusedError) Immutable() bool {
	if e.Type == "" {
		return false
	}
	text := strings.ToLower(e.Code + " " + e.Msg)
	return strings.Contains(text, "immutable") || strings.Contains(text, "already exist") || strings.Contains(text, "cannot be overwritten")
}

// MediaTypes says whether the manifest was refused for what it is, which may be
// its media type or that of a layer.
func (e *RefusedError) MediaTypes() bool {
	return e.Type != "" && !e.Immutable() && (e.Status == http.StatusUnsupportedMediaType || slices.Contains([]string{
		string(transport.ManifestInvalidErrorCode), string(transport.UnsupportedErrorCode), "MEDIA_TYPE_INVALID",
	}, e.Code))
}

// refused makes an answer that forbids something a [RefusedError].
func refused(repo name.Repository, err error) error {
	if known := (*RefusedError)(nil); errors.As(err, &known) {
		return known
	}
	var t *transport.Error
	if errors.As(err, &t) {
		r := &RefusedError{Repository: repo.Name(), Status: t.StatusCode, Msg: messageOf(t)}
		if len(t.Errors) > 0 {
			r.Code = string(t.Errors[0].Code)
		}
		if m := (*manifestError)(nil); errors.As(err, &m) && t.StatusCode < http.StatusInternalServerError && t.StatusCode != http.StatusTooManyRequests {
			r.Type = m.kind
			return r
		}
		switch {
		case t.StatusCode == http.StatusUnauthorized, t.StatusCode == http.StatusForbidden, t.StatusCode == http.StatusMethodNotAllowed, r.NoRepository():
			return r
		}
	}
	return fmt.Errorf("push to %s: %w", repo.Name(), err)
}

// A manifestError is one that came when a manifest was put.
type manifestError struct {
	kind types.MediaType
	err  error
}

func (e *manifestError) Error() string { return "manifest: " + e.err.Error() }
func (e *manifestError) Unwrap() error { return e.err }

// messageOf is what a registry says was wrong.
func messageOf(t *transport.Error) string {
	for _, d := range t.Errors {
		if d.Message != "" {
			return d.Message
		}
	}
	return http.StatusText(t.StatusCode)
}

// CheckPush asks whether a repository may be pushed to: an upload is begun and
// given up. A registry that forbids it gives a [*RefusedError]. What was allowed
// once is not asked again.
func (c *Client) CheckPush(ctx context.Context, tag name.Tag) error {
	return c.onceFor(ctx, "check "+tag.Repository.Name(), func() error { return c.checkPush(ctx, tag) })
}

func (c *Client) checkPush(ctx context.Context, tag name.Tag) error {
	u, err := c.uploader(ctx, tag.Repository)
	if err != nil {
		return refused(tag.Repository, err)
	}
	b, err := u.begin(ctx, v1.Hash{}, "")
	if err != nil {
		return refused(tag.Repository, err)
	}
	u.cancel(ctx, b.place)
	return nil
}

// Push pushes an image under tags, which may be of several repositories, and
// returns its digest in the first of them. What a registry has is not sent:
// nothing at all if the tag is that image already. Layers of a base in the same
// registry are mounted; those of another pass through without being kept. The
// manifest is put last.
func (c *Client) Push(ctx context.Context, img v1.Image, tags []name.Tag) (name.Digest, error) {
	if len(tags) == 0 {
		return name.Digest{}, errors.New("push: no name")
	}
	digest, err := img.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("push: %w", err)
	}
	sent := map[string]bool{}
	for _, t := range tags {
		if c.tagged(ctx, t, digest) {
			continue
		}
		if err := c.pushTo(ctx, img, t, sent); err != nil {
			return name.Digest{}, refused(t.Repository, err)
		}
	}
	return tags[0].Digest(digest.String()), nil
}

// pushTo pushes an image under one tag; sent has the repositories that have
// the layers.
func (c *Client) pushTo(ctx context.Context, img v1.Image, tag name.Tag, sent map[string]bool) error {
	u, err := c.uploader(ctx, tag.Repository)
	if err != nil {
		return err
	}
	if !sent[tag.Repository.Name()] {
		if err := u.image(ctx, img); err != nil {
			return err
		}
		sent[tag.Repository.Name()] = true
	}
	put := func() error {
		return c.retried(ctx, "manifest", func() error { return u.manifest(ctx, img, tag) })
	}
	if err = put(); err != nil && c.doubt(tag.Repository, err) {
		if err = u.image(ctx, img); err == nil {
			err = put()
		}
	}
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err == nil {
		c.noteTag(tag, digest)
		c.keep(pushedKind, tag.Repository.Name(), []byte(digest.String()))
	}
	return err
}

// uploader sends blobs and manifests to one repository.
type uploader struct {
	c      *Client
	repo   name.Repository
	client *http.Client
	pull   map[string]bool // repositories that may be mounted from
	// monolithic says that the registry takes blobs in one request only.
	monolithic *atomic.Bool
	// part is the size of the parts that blobs are sent in, in bytes; 0 is whole.
	part *atomic.Int64
}

func (c *Client) uploader(ctx context.Context, repo name.Repository, mounts ...name.Repository) (*uploader, error) {
	u := &uploader{c: c, repo: repo, pull: map[string]bool{}, monolithic: &atomic.Bool{}, part: &atomic.Int64{}}
	scopes := []string{repo.Scope(transport.PushScope)}
	for _, m := range mounts {
		scopes = append(scopes, m.Scope(transport.PullScope))
		u.pull[m.RepositoryStr()] = true
	}
	var err error
	if u.client, err = c.authorized(ctx, repo, scopes...); err != nil {
		return nil, err
	}
	return u, nil
}

// image sends the layers and the configuration of an image.
func (u *uploader) image(ctx context.Context, img v1.Image) error {
	ls, err := img.Layers()
	if err != nil {
		return err
	}
	ls = slices.DeleteFunc(slices.Clone(ls), func(l v1.Layer) bool { return u.c.standsIn(u.repo, l) })
	if mounts := u.mountable(ls); len(mounts) > 0 {
		if with, err := u.c.uploader(ctx, u.repo, mounts...); err == nil {
			u.client, u.pull = with.client, with.pull
		} // a registry may not let us read there, and then they are sent
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	seen := map[v1.Hash]bool{}
	for _, l := range ls {
		h, err := l.Digest()
		if err != nil {
			return err
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		g.Go(func() error {
			if err := u.layer(gctx, l); err != nil {
				return fmt.Errorf("layer %s: %w", h, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return u.config(ctx, img)
}

// mountable are the repositories of this registry that layers come from.
func (u *uploader) mountable(ls []v1.Layer) []name.Repository {
	var repos []name.Repository
	seen := map[string]bool{}
	for _, l := range ls {
		if r, ok := u.source(l); ok && !seen[r.Name()] {
			seen[r.Name()] = true
			repos = append(repos, r)
		}
	}
	return repos
}

// source is the other repository of this registry that a layer is in.
func (u *uploader) source(l v1.Layer) (name.Repository, bool) {
	far, ok := l.(*farLayer)
	if !ok {
		return name.Repository{}, false
	}
	r, ok := far.from.repository()
	return r, ok && r.RegistryStr() == u.repo.RegistryStr() && r.RepositoryStr() != u.repo.RepositoryStr()
}

func (u *uploader) layer(ctx context.Context, l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	from := ""
	if r, ok := u.source(l); ok && u.pull[r.RepositoryStr()] {
		from = r.RepositoryStr()
	}
	return u.blob(ctx, blob{digest, size, from, l.Compressed})
}

func (u *uploader) config(ctx context.Context, img v1.Image) error {
	raw, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	digest, err := img.ConfigName()
	if err != nil {
		return err
	}
	err = u.blob(ctx, blob{digest, int64(len(raw)), "", func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	u.c.keep(configKind, digest.String(), raw) // for the next build, which asks what this one pushed
	return nil
}

func (u *uploader) manifest(ctx context.Context, img v1.Image, tag name.Tag) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	mt, err := img.MediaType()
	if err != nil {
		return err
	}
	r, err := u.do(ctx, http.MethodPut, u.url("/manifests/"+tag.TagStr()), &payload{
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }, size: int64(len(raw)), kind: string(mt),
	})
	if err != nil {
		return &manifestError{mt, err}
	}
	defer r.Body.Close()
	if err := u.c.expect(r, http.StatusOK, http.StatusCreated, http.StatusAccepted); err != nil {
		digest, herr := img.Digest()
		if _, again := passing(err); !again && herr == nil && u.c.is(ctx, tag, digest) {
			return nil // somebody else was faster, and the tag may not be set again
		}
		return &manifestError{mt, err}
	}
	digest, err := img.Digest()
	if err == nil {
		u.c.keep(manifestKind, digest.String(), raw)
	}
	return err
}

// is asks whether a tag is an image.
func (c *Client) is(ctx context.Context, tag name.Tag, digest v1.Hash) bool {
	puller, err := c.puller()
	if err != nil {
		return false
	}
	d, err := puller.Head(ctx, tag)
	return err == nil && d.Digest == digest
}
