package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

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
	send := func() error {
		there, err := u.has(ctx, b.digest)
		if err != nil || there {
			return err
		}
		place, mounted, err := u.begin(ctx, b.digest, b.from)
		if err != nil || mounted {
			return err
		}
		return u.send(ctx, place, b)
	}
	return u.c.onceFor(ctx, u.repo.Name()+" "+b.digest.String(), func() error {
		return u.c.retried(ctx, "push "+short(b.digest), send)
	})
}

func (u *uploader) has(ctx context.Context, digest v1.Hash) (bool, error) {
	r, err := u.do(ctx, http.MethodHead, u.url("/blobs/"+digest.String()), nil, 0, "")
	if err != nil {
		return false, err
	}
	defer r.Body.Close()
	if r.StatusCode == http.StatusNotFound {
		return false, nil
	}
	return true, u.c.expect(r, http.StatusOK)
}

// begin begins an upload, or mounts the blob if the registry can.
func (u *uploader) begin(ctx context.Context, digest v1.Hash, from string) (place *url.URL, mounted bool, err error) {
	at := u.url("/blobs/uploads/")
	if from != "" {
		at.RawQuery = url.Values{"mount": {digest.String()}, "from": {from}}.Encode()
	}
	r, err := u.do(ctx, http.MethodPost, at, nil, 0, "")
	if err != nil {
		return nil, false, err
	}
	defer r.Body.Close()
	if err := u.c.expect(r, http.StatusCreated, http.StatusAccepted); err != nil {
		if from != "" && r.StatusCode < http.StatusInternalServerError && r.StatusCode != http.StatusTooManyRequests {
			return u.begin(ctx, digest, "") // it may not be mounted, so it is sent
		}
		return nil, false, err
	}
	if r.StatusCode == http.StatusCreated && from != "" {
		return nil, true, nil
	}
	place, err = r.Location()
	if err != nil {
		return nil, false, errors.New("the registry does not say where to upload to")
	}
	return place, false, nil
}

// send sends the bytes in one request.
func (u *uploader) send(ctx context.Context, place *url.URL, b blob) (err error) {
	body, err := b.open()
	if err != nil {
		return err
	}
	defer body.Close()
	add, done := u.c.progress().Bytes("push "+short(b.digest), b.size)
	defer func() { done(err) }()
	to := *place
	q := to.Query()
	q.Set("digest", b.digest.String())
	to.RawQuery = q.Encode()
	r, err := u.do(ctx, http.MethodPut, &to, counted(body, add), b.size, "application/octet-stream")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return u.c.expect(r, http.StatusOK, http.StatusCreated)
}

// cancel gives an upload up. Whether the registry takes note does not matter:
// it forgets uploads by itself.
func (u *uploader) cancel(ctx context.Context, place *url.URL) {
	if place == nil {
		return
	}
	if r, err := u.do(ctx, http.MethodDelete, place, nil, 0, ""); err == nil {
		r.Body.Close()
	}
}

func (u *uploader) url(path string) *url.URL {
	return &url.URL{Scheme: u.repo.Scheme(), Host: u.repo.RegistryStr(), Path: "/v2/" + u.repo.RepositoryStr() + path}
}

func (u *uploader) do(ctx context.Context, method string, to *url.URL, body io.Reader, size int64, contentType string) (*http.Response, error) {
	if body != nil {
		body = io.NopCloser(body) // the transport must not close what may be read again
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
		if size == 0 {
			req.Body = http.NoBody
		}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
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
