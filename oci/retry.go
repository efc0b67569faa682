package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// How often and after which time something is tried again that may work then.
const (
	tries      = 5
	firstPause = 300 * time.Millisecond
	maxPause   = 2 * time.Minute
)

// A statusError is an answer that is not the expected one.
type statusError struct {
	err   error // *transport.Error
	code  int
	pause time.Duration // what Retry-After asks for
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// expect returns an error for an answer with another status than the given
// ones. The body is read then, else not.
func (c *Client) expect(r *http.Response, codes ...int) error {
	err := transport.CheckError(r, codes...)
	if err == nil {
		return nil
	}
	return &statusError{err: err, code: r.StatusCode, pause: c.retryAfter(r.Header.Get("Retry-After"))}
}

// retryAfter reads the header of that name: seconds, or a date.
func (c *Client) retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return min(time.Duration(n)*time.Second, maxPause)
	}
	if t, err := http.ParseTime(s); err == nil && c.Now != nil {
		return max(0, min(t.Sub(c.Now()), maxPause))
	}
	return 0
}

// retried does something until it works or fails for good. What got on before
// it broke ([movedError]) has all tries again.
func (c *Client) retried(ctx context.Context, what string, do func() error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if moved := (*movedError)(nil); errors.As(err, &moved) {
			n, pause = 1, firstPause
		}
		asked, again := passing(err)
		if !again || n == tries {
			return err
		}
		wait := max(pause, asked)
		c.progress().Note(fmt.Sprintf("%s: %v; trying again in %s", what, err, wait))
		if err := c.sleep(ctx, wait); err != nil {
			return err
		}
		pause *= 2
	}
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// A movedError is one that came after something had got on.
type movedError struct{ err error }

func (e *movedError) Error() string { return e.err.Error() }
func (e *movedError) Unwrap() error { return e.err }

// A spentError is one that came again until we gave up.
type spentError struct{ err error }

func (e *spentError) Error() string { return e.err.Error() }
func (e *spentError) Unwrap() error { return e.err }

// passing says whether an error may not come again, and after which time.
func passing(err error) (time.Duration, bool) {
	if spent := (*spentError)(nil); errors.As(err, &spent) {
		return 0, false
	}
	if anew := (*anewError)(nil); errors.As(err, &anew) {
		return 0, true
	}
	var status *statusError
	if errors.As(err, &status) {
		return status.pause, passingStatus(status.code)
	}
	var t *transport.Error
	if errors.As(err, &t) {
		return 0, t.Temporary()
	}
	var timeout net.Error
	return 0, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// passingStatus says whether an answer may be another one next time.
func passingStatus(code int) bool {
	return code == http.StatusTooManyRequests || code == http.StatusRequestTimeout ||
		code >= http.StatusInternalServerError && code != http.StatusNotImplemented
}

// patient asks again where a question had no answer. What sends something is
// the uploader's to repeat, which asks how far it came.
type patient struct {
	next guard
	c    *Client
}

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return p.next.RoundTrip(r)
	}
	var resp *http.Response
	err := p.c.retried(r.Context(), "ask "+r.URL.Host, func() (err error) {
		if resp, err = p.next.RoundTrip(r); err != nil || !passingStatus(resp.StatusCode) { //nolint:bodyclose // the caller's
			return err
		}
		defer resp.Body.Close()
		return p.c.expect(resp)
	})
	if err == nil {
		return resp, nil
	}
	if _, again := passing(err); again {
		err = &spentError{err}
	}
	return nil, err
}
