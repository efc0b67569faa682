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

// retried does something until it works or fails for good.
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
		asked, again := passing(err)
		if !again || n == tries {
			return err
		}
		wait := max(pause, asked)
		c.progress().Note(fmt.Sprintf("%s: %v; trying again in %s", what, err, wait))
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
		pause *= 2
	}
}

// passing says whether an error may not come again, and after which time.
func passing(err error) (time.Duration, bool) {
	var status *statusError
	if errors.As(err, &status) {
		return status.pause, status.code == http.StatusTooManyRequests || status.code == http.StatusRequestTimeout ||
			status.code >= http.StatusInternalServerError && status.code != http.StatusNotImplemented
	}
	var t *transport.Error
	if errors.As(err, &t) {
		return 0, t.Temporary()
	}
	var timeout net.Error
	return 0, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &timeout) && timeout.Timeout()
}
