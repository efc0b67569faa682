package oci

import (
	"bytes"
	"context"
	"os"
	"sync"
)

// A learner finds out what an Install installed, so that later ones can start
// from it. What uv does not tell, hashes, the index is asked for as soon as uv
// has ended, while its layers are made.
type learner struct {
	a       *addition
	printed printed // by uv
	report  string  // of pip, a file

	ctx    context.Context //nolint:containedctx // of what is asked beside
	cancel context.CancelFunc
	early  string // what was printed when the index was asked
	answer chan learned
}

// learned is what was installed.
type learned struct {
	pins     []pin
	replaced []string // see [addition]
	err      error    // why it is not known
}

func (a *addition) learner(ctx context.Context) *learner {
	l := &learner{a: a}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// begin is called when uv has ended.
func (l *learner) begin() {
	if l.answer != nil { // it ran twice
		return
	}
	l.early, l.answer = l.printed.String(), make(chan learned, 1)
	go func() { l.answer <- l.learn(l.ctx, l.early) }()
}

// close gives up what is under way.
func (l *learner) close() {
	l.cancel()
	if l.answer != nil {
		l.answer <- <-l.answer
	}
}

// end returns what was installed, once that is done.
func (l *learner) end(ctx context.Context) learned {
	if l.report != "" {
		data, err := os.ReadFile(l.report)
		if err != nil {
			return learned{err: err}
		}
		pins, err := pinsOfReport(data)
		return learned{pins: pins, err: err}
	}
	text := l.printed.String()
	if l.answer == nil || text != l.early {
		return l.learn(ctx, text)
	}
	found := <-l.answer
	l.answer <- found
	return found
}

// learn reads what uv printed, and asks for hashes.
func (l *learner) learn(ctx context.Context, text string) (found learned) {
	if found.pins, found.replaced, found.err = pinsOfUV(text); found.err == nil {
		found.err = l.a.hash(ctx, found.pins)
	}
	return found
}

// printed keeps what is written to it.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (p *printed) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(data)
}

// String is all of it.
func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}
