package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	// inOne is the size in bytes up to which a blob is sent in the request that
	// ends its upload. Larger ones are sent before that, so that what has arrived
	// need not be sent again after a cut.
	inOne = 8 << 20
	// moved is how many bytes have to arrive for all tries to be given again.
	moved = 1 << 20
)

// transfer is the upload of one blob. It outlives the connections that it takes.
type transfer struct {
	blob

	u     *uploader
	place *url.URL // where the upload goes on; nil if there is none
	least int64    // how small a part may be
	at    int64    // how many bytes the registry has
	most  int64    // and the most that it ever had
}

// try sends what the registry does not have.
func (t *transfer) try(ctx context.Context) error {
	if t.place != nil {
		before := t.at
		if t.resume(ctx) != nil {
			t.place = nil // it is forgotten: from the beginning
		}
		if t.place == nil || t.at <= before {
			t.u.part.CompareAndSwap(0, largestPart) // nothing of what was under way is left
		}
	}
	if t.place == nil {
		t.at = 0
		there, err := t.u.has(ctx, t.digest)
		if err != nil || there {
			return err
		}
		b, err := t.u.begin(ctx, t.digest, t.from)
		if err != nil || b.mounted {
			return err
		}
		t.place, t.least = b.place, b.least
	}
	err := t.send(ctx)
	before := t.most
	if t.most = max(t.most, t.at); err != nil && t.most-before >= moved {
		return &movedError{err}
	}
	return err
}

// resume asks how far the upload is. The bytes of a range are counted from 0,
// so that "0-0" is one byte; registries say so of none, too.
func (t *transfer) resume(ctx context.Context) error {
	r, err := t.u.do(ctx, http.MethodGet, t.place, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := t.u.c.expect(r, http.StatusNoContent, http.StatusOK, http.StatusAccepted); err != nil {
		return err
	}
	_, last, ok := strings.Cut(r.Header.Get("Range"), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || n < 0 || n >= t.size {
		return fmt.Errorf("the registry has the range %q of %d bytes", r.Header.Get("Range"), t.size)
	}
	if t.at = n + 1; n == 0 {
		t.at = 0
	}
	return t.moveTo(r)
}

// moveTo takes the place that an answer names for what comes next, if any.
func (t *transfer) moveTo(r *http.Response) error {
	place, err := r.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil
	}
	if err == nil {
		t.place = place
		t.u.c.routes.leads(t.u.repo.RegistryStr(), place)
	}
	return err
}

// send sends the bytes that are missing, and the end.
func (t *transfer) send(ctx context.Context) (err error) {
	add, done := t.u.c.progress().Bytes("push "+short(t.digest), t.size)
	defer func() { done(err) }()
	add(t.at)
	last := &payload{kind: octets}
	if t.inOne() {
		last = t.bytes(t.size-t.at, add)
	}
	for last.size == 0 && t.at < t.size {
		n := t.part()
		if err := t.patch(ctx, n, add); err != nil {
			return err
		}
		t.at += n
	}
	if err := t.end(ctx, last); err != nil {
		t.place = nil // what a request that was to end it left is not known
		if last.size > 0 && t.u.smaller(err, last.size) {
			return &anewError{err}
		}
		return err
	}
	return nil
}

// inOne says whether the request that ends the upload has all bytes, too.
func (t *transfer) inOne() bool {
	part := t.u.part.Load()
	return t.u.monolithic.Load() || t.size <= inOne && (part <= 0 || t.size <= part)
}

const octets = "application/octet-stream"

// bytes are the next n of the blob.
func (t *transfer) bytes(n int64, add func(int64)) *payload {
	at := t.at
	return &payload{kind: octets, size: n, open: func() (io.ReadCloser, error) {
		r, err := t.open()
		if err != nil {
			return nil, err
		}
		if err := skip(r, at); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return struct {
			io.Reader
			io.Closer
		}{counted(io.LimitReader(r, n), add), r}, nil
	}}
}

// skip leaves out the first n bytes.
func skip(r io.Reader, n int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	return err
}

// patch sends the next n bytes, more or the end to follow. A registry that knows
// no such thing gets this blob and all others in one request each.
func (t *transfer) patch(ctx context.Context, n int64, add func(int64)) error {
	p := t.bytes(n, add)
	if t.at > 0 || n < t.size {
		p.bytes = fmt.Sprintf("%d-%d", t.at, t.at+n-1)
	}
	r, err := t.u.do(ctx, http.MethodPatch, t.place, p)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := t.u.c.expect(r, http.StatusAccepted, http.StatusCreated, http.StatusNoContent); err != nil {
		if _, again := passing(err); !again {
			t.u.cancel(ctx, t.place)
			t.place = nil
			if t.at > 0 || t.u.smaller(err, n) || refusesPatch(r.StatusCode) && !t.u.monolithic.Swap(true) {
				t.u.refusesParts(t.at, r.StatusCode)
				return &anewError{err}
			}
		}
		return err
	}
	return t.moveTo(r)
}

// refusesPatch says whether a status means that there are no uploads in parts.
func refusesPatch(code int) bool {
	switch code {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType,
		http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented:
		return true
	}
	return false
}

// An anewError is one after which the upload is to be begun in another way.
type anewError struct{ err error }

func (e *anewError) Error() string { return e.err.Error() }
func (e *anewError) Unwrap() error { return e.err }

// end ends the upload, with the last bytes if there are some.
func (t *transfer) end(ctx context.Context, p *payload) error {
	to := *t.place
	q := to.Query()
	q.Set("digest", t.digest.String())
	to.RawQuery = q.Encode()
	r, err := t.u.do(ctx, http.MethodPut, &to, p)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return t.u.c.expect(r, http.StatusOK, http.StatusCreated, http.StatusNoContent)
}
