package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A blob is what is to be sent.
type blob struct {
	digest v1.Hash
	size   int64
	from   string // a repository of the same registry to mount it from
	open   func() (io.ReadCloser, error)
}

// blob makes sure that the repository has a blob. It is the only place where
// anything but a manifest is sent (OCI distribution specification, "Pushing
// Blobs").
func (u *uploader) blob(ctx context.Context, b blob) error {
	t := &transfer{u: u, blob: b}
	return u.c.onceFor(ctx, u.repo.Name()+" "+b.digest.String(), func() error {
		return u.c.retried(ctx, "push "+short(b.digest), func() error { return t.try(ctx) })
	})
}

func (u *uploader) has(ctx context.Context, digest v1.Hash) (bool, error) {
	r, err := u.do(ctx, http.MethodHead, u.url("/blobs/"+digest.String()), nil)
	if err != nil {
		return false, err
	}
	defer r.Body.Close()
	switch r.StatusCode {
	case http.StatusNotFound:
		return false, nil
	case http.StatusUnauthorized, http.StatusForbidden: // an answer without a body; that to an upload says why
		return false, nil
	}
	return true, u.c.expect(r, http.StatusOK)
}

// begun is an upload that a registry has begun.
type begun struct {
	place   *url.URL // where it goes on; nil if it is mounted
	mounted bool
	least   int64 // the least size of a part but the last, in bytes
}

// begin begins an upload, or mounts the blob if the registry can.
func (u *uploader) begin(ctx context.Context, digest v1.Hash, from string) (begun, error) {
	at := u.url("/blobs/uploads/")
	if from != "" {
		at.RawQuery = url.Values{"mount": {digest.String()}, "from": {from}}.Encode()
	}
	r, err := u.do(ctx, http.MethodPost, at, nil)
	if err != nil {
		return begun{}, err
	}
	defer r.Body.Close()
	if err := u.c.expect(r, http.StatusCreated, http.StatusAccepted); err != nil {
		if from != "" && r.StatusCode < http.StatusInternalServerError && r.StatusCode != http.StatusTooManyRequests {
			return u.begin(ctx, digest, "") // it may not be mounted, so it is sent
		}
		return begun{}, err
	}
	if r.StatusCode == http.StatusCreated && from != "" {
		return begun{mounted: true}, nil
	}
	place, err := r.Location()
	if err != nil {
		return begun{}, errors.New("the registry does not say where to upload to")
	}
	u.c.routes.leads(u.repo.RegistryStr(), place)
	least, _ := strconv.ParseInt(r.Header.Get("OCI-Chunk-Min-Length"), 10, 64) // 0 if it says none
	return begun{place: place, least: least}, nil
}

// cancel gives an upload up. Whether the registry takes note does not matter:
// it forgets uploads by itself.
func (u *uploader) cancel(ctx context.Context, place *url.URL) {
	if place == nil {
		return
	}
	if r, err := u.do(ctx, http.MethodDelete, place, nil); err == nil {
		r.Body.Close()
	}
}

func (u *uploader) url(path string) *url.URL { return urlIn(u.repo, path) }

// urlIn is a path in a repository.
func urlIn(repo name.Repository, path string) *url.URL {
	return &url.URL{Scheme: repo.Scheme(), Host: repo.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + path}
}

// A payload is what a request sends; it can be sent again.
type payload struct {
	open  func() (io.ReadCloser, error)
	size  int64
	kind  string // Content-Type
	bytes string // Content-Range, if it is a part
}

func (u *uploader) do(ctx context.Context, method string, to *url.URL, p *payload) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		return nil, err
	}
	if p != nil {
		req.Header.Set("Content-Type", p.kind)
		if p.bytes != "" {
			req.Header.Set("Content-Range", p.bytes)
		}
		if req.Body = http.NoBody; p.size > 0 { // the transport takes what GetBody gives
			req.Body, req.GetBody, req.ContentLength = io.NopCloser(http.NoBody), p.open, p.size
		}
	}
	r, err := u.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, withoutURL(err))
	}
	return r, nil
}

// withoutURL drops the URL of an error, whose query may hold a token.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
