package oci

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// rangedReader reads a blob of a repository. Where the connection ends too early
// it goes on with the bytes that are missing; a registry that knows no ranges
// sends those before them again. What was read is checked by who reads it.
type rangedReader struct {
	b     remoteBlobs
	d     v1.Descriptor
	r     io.ReadCloser
	at    int64 // how many bytes were read
	since int64 // and how many when it was opened last
	idle  int   // how often it was opened and hardly got on
}

func (r *rangedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.at += int64(n)
	if r.at >= r.d.Size || err == nil {
		return n, err
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("it ends after %d bytes of %d: %w", r.at, r.d.Size, io.ErrUnexpectedEOF)
	}
	if _, again := passing(err); !again || r.b.ctx.Err() != nil {
		return n, err
	}
	if r.idle++; r.at-r.since >= moved {
		r.idle = 1
	}
	if r.idle == tries {
		return n, &spentError{err}
	}
	return n, r.resume(err)
}

// resume goes on after an error that came in the middle.
func (r *rangedReader) resume(cause error) error {
	_ = r.r.Close() // it is broken
	said := false
	err := r.b.c.retried(r.b.ctx, "pull "+short(r.d.Digest), func() error {
		if !said { // and waited for
			said = true
			return cause
		}
		return r.open()
	})
	if err == nil {
		return nil
	}
	r.r = io.NopCloser(http.NoBody)
	if _, again := passing(err); again {
		err = &spentError{err}
	}
	return err
}

// open asks for what is missing, and for everything where that is refused.
func (r *rangedReader) open() error {
	resp, err := r.ask(fmt.Sprintf("bytes=%d-%d", r.at, r.d.Size-1))
	if err == nil && refusesRange(resp.StatusCode) {
		_ = resp.Body.Close() // it is of no use
		resp, err = r.ask("")
	}
	if err != nil {
		return err
	}
	if err := r.take(resp); err != nil {
		return errors.Join(err, resp.Body.Close())
	}
	r.r, r.since = resp.Body, r.at
	return nil
}

func (r *rangedReader) ask(bytes string) (*http.Response, error) {
	client, err := r.b.c.authorized(r.b.ctx, r.b.repo, r.b.repo.Scope(transport.PullScope))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(r.b.ctx, http.MethodGet, urlIn(r.b.repo, "/blobs/"+r.d.Digest.String()).String(), nil)
	if err != nil {
		return nil, err
	}
	if bytes != "" {
		req.Header.Set("Range", bytes)
	}
	resp, err := client.Do(req)
	return resp, withoutURL(err)
}

// refusesRange says whether a status may be about the range alone.
func refusesRange(code int) bool {
	return code >= http.StatusBadRequest && !passingStatus(code) && code != http.StatusUnauthorized && code != http.StatusForbidden
}

// take makes an answer's body begin with the bytes that are missing.
func (r *rangedReader) take(resp *http.Response) error {
	if err := r.b.c.expect(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return skip(resp.Body, r.at)
	}
	var first int64
	got := resp.Header.Get("Content-Range")
	if _, err := fmt.Sscanf(got, "bytes %d-", &first); err != nil || first != r.at {
		return fmt.Errorf("the registry answers with the range %q, not from byte %d on", got, r.at)
	}
	return nil
}

func (r *rangedReader) Close() error { return r.r.Close() }
