package oci

import (
	"context"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
)

// An Ahead sends layers of an image to registries while later ones are being
// made. Nothing is sent before every registry has said that it may be, and
// nothing is tagged: [Client.Push] does that, which sends what is missing and
// tells what went wrong.
type Ahead struct {
	c    *Client
	tags []name.Tag // one of each repository

	mu      sync.Mutex
	answer  chan struct{} // of the repositories, nil if they were not asked; closed once they answered
	refusal error         // what they answered
	begun   int           // layers, from the bottom, that were looked at
	slots   chan struct{} // one for every transfer under way
	under   sync.WaitGroup
	ctx     context.Context //nolint:containedctx // of all transfers, which outlast the call that begins them
	cancel  context.CancelFunc
}

// Ahead prepares to send layers to the repositories of tags. It has to be
// closed.
func (c *Client) Ahead(tags []name.Tag) *Ahead {
	a := &Ahead{c: c, slots: make(chan struct{}, parallel)}
	seen := map[string]bool{}
	for _, t := range tags {
		if !seen[t.Repository.Name()] {
			seen[t.Repository.Name()] = true
			a.tags = append(a.tags, t)
		}
	}
	return a
}

// Close gives up what is under way.
func (a *Ahead) Close() {
	a.mu.Lock()
	cancel := a.cancel
	a.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	a.under.Wait()
}

// Ask begins to ask, the first time, whether the repositories may be pushed to;
// see [Client.CheckPush].
func (a *Ahead) Ask(ctx context.Context) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answer != nil {
		return
	}
	a.answer = make(chan struct{})
	a.begin(ctx)
	a.under.Go(func() {
		defer close(a.answer)
		for _, t := range a.tags {
			if err := a.c.CheckPush(a.ctx, t); err != nil {
				a.refusal = &notAllowedError{err}
				return
			}
		}
	})
}

// begin makes the context of what outlasts the call that begins it.
func (a *Ahead) begin(ctx context.Context) {
	if a.cancel == nil {
		a.ctx, a.cancel = context.WithCancel(ctx)
	}
}

// Check asks, if nobody has, and waits for the answer. A build does so before
// anything is run for its first layer, or once that is made.
func (a *Ahead) Check(ctx context.Context) error {
	if a == nil {
		return nil
	}
	a.Ask(ctx)
	select {
	case <-a.answer:
		return a.refusal
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A notAllowedError says that what would be made could not be pushed.
type notAllowedError struct{ err error }

func (e *notAllowedError) Error() string { return e.err.Error() }
func (e *notAllowedError) Unwrap() error { return e.err }

// send begins to send layers, bottom first, that were not given before. It does
// nothing as long as no layer had to be made: the image may be there already.
func (a *Ahead) send(stack []laid) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.allowed() {
		return
	}
	a.start(stack[min(a.begun, len(stack)):])
	a.begun = max(a.begun, len(stack))
}

// sendApart begins to send layers whose place in the image is not reached yet.
func (a *Ahead) sendApart(list []laid) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.allowed() {
		a.start(list)
	}
}

// start begins to send layers to each repository.
func (a *Ahead) start(list []laid) {
	for _, l := range list {
		for _, t := range a.tags {
			a.under.Go(func() { a.layer(a.ctx, t, l) })
		}
	}
}

// allowed says whether the repositories said that they may be pushed to.
func (a *Ahead) allowed() bool {
	if a.answer == nil {
		return false
	}
	select {
	case <-a.answer:
		return a.refusal == nil
	default:
		return false
	}
}

// layer sends one layer. What goes wrong is found again, and told, by whoever
// pushes the image.
func (a *Ahead) layer(ctx context.Context, tag name.Tag, l laid) {
	if a.c.standsIn(tag.Repository, l.Layer) {
		return
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return
	}
	u, err := a.c.uploader(ctx, tag.Repository)
	if err != nil {
		return
	}
	if far, ok := l.Layer.(*farLayer); ok {
		source, mountable := u.source(far)
		_, here := far.from.file(far.desc.Digest)
		if !mountable && !here {
			return // a step may want it, too: it need not come twice
		}
		if mountable {
			if with, err := a.c.uploader(ctx, tag.Repository, source); err == nil {
				u = with
			}
		}
	}
	_ = u.layer(ctx, l.Layer)
}

// flight is a blob on its way to a repository, or there.
type flight struct {
	done chan struct{}
	err  error
}

// onceFor does something unless it was done for the same key, or is being done.
// It is done again if it failed.
func (c *Client) onceFor(ctx context.Context, key string, do func() error) error {
	for {
		c.mu.Lock()
		f, ok := c.flights[key]
		if !ok {
			if c.flights == nil {
				c.flights = map[string]*flight{}
			}
			f = &flight{done: make(chan struct{})}
			c.flights[key] = f
			c.mu.Unlock()
			if f.err = do(); f.err != nil {
				c.mu.Lock()
				delete(c.flights, key)
				c.mu.Unlock()
			}
			close(f.done)
			return f.err
		}
		c.mu.Unlock()
		select {
		case <-f.done:
			if f.err == nil {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
