package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// How long a registry may be silent.
const (
	answerPatience   = 5 * time.Minute
	transferPatience = time.Minute
)

// A StalledError says that a host did not answer, or stopped in the middle.
type StalledError struct {
	Host  string
	After time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("%s has been silent for %s", e.Host, e.After)
}

// Timeout implements [net.Error].
func (e *StalledError) Timeout() bool { return true }

// Temporary implements [net.Error].
func (e *StalledError) Temporary() bool { return true }

// watched gives requests up in which nothing moves. A request that has GetBody
// is sent with a body from there each time, so that it can be sent again.
type watched struct {
	next  http.RoundTripper
	limit time.Duration // of [Client.Stall]
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, transfer := w.limit, w.limit
	if w.limit == 0 {
		answer, transfer = answerPatience, transferPatience
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	d := &dog{ctx: ctx, cancel: cancel}
	d.timer = time.AfterFunc(answer, func() { cancel(&StalledError{r.URL.Host, answer}) })
	again, body := r.Clone(ctx), r.Body
	if r.GetBody != nil && r.ContentLength != 0 {
		var err error
		if body, err = r.GetBody(); err != nil {
			d.leave()
			return nil, err
		}
		r.Body.Close() // it stands in for this one
	}
	if body != nil && body != http.NoBody {
		again.Body, again.GetBody = &watchedBody{body, d, transfer, answer}, nil
	}
	resp, err := w.next.RoundTrip(again)
	if err != nil {
		err = d.cause(err)
		d.leave()
		return nil, err
	}
	d.keep(transfer)
	resp.Request = r
	resp.Body = &watchedAnswer{resp.Body, d, transfer}
	return resp, nil
}

// dog ends a request if nobody comes by for some time.
type dog struct {
	ctx    context.Context //nolint:containedctx // of one request
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (d *dog) keep(limit time.Duration) { d.timer.Reset(limit) }

func (d *dog) leave() {
	d.timer.Stop()
	d.cancel(nil)
}

// cause is what ended a request that ended with err.
func (d *dog) cause(err error) error {
	if stalled := (*StalledError)(nil); errors.As(context.Cause(d.ctx), &stalled) {
		return stalled
	}
	return err
}

// watchedBody is what is sent. After its end the answer is waited for.
type watchedBody struct {
	io.ReadCloser
	d                *dog
	transfer, answer time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.d.keep(b.answer)
	} else {
		b.d.keep(b.transfer)
	}
	return n, err
}

// watchedAnswer is what is received.
type watchedAnswer struct {
	io.ReadCloser
	d        *dog
	transfer time.Duration
}

func (b *watchedAnswer) Read(p []byte) (int, error) {
	b.d.keep(b.transfer)
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.d.cause(err)
	}
	b.d.timer.Stop() // who reads has time
	return n, err
}

func (b *watchedAnswer) Close() error {
	err := b.ReadCloser.Close()
	b.d.leave()
	return err
}
