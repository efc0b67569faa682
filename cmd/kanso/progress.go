package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/kanso-build/kanso/oci"
)

// A display shows what goes on: it is told of steps, notes and bytes, and
// shows what steps print.
type display interface {
	oci.Progress
	// output takes what steps print.
	output() io.Writer
	// close ends it; a terminal is free for other output then. It may be
	// called again.
	close()
}

// display returns what --progress asks for.
func (a *app) display(kind string) (display, error) {
	switch kind {
	case "auto":
		if f, ok := a.raw.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			b := newBars(f, a.redact)
			a.stderr = b.above // so that messages stay above the bars
			return b, nil
		}
		return plain{a.stderr}, nil
	case "plain":
		return plain{a.stderr}, nil
	case "json":
		a.json = true
		return events{a.stderr}, nil
	case "quiet":
		return quiet{}, nil
	}
	return nil, usagef("--progress %s: want auto, plain, json or quiet", kind)
}

// plain writes a line for everything.
type plain struct{ w io.Writer }

func (p plain) Step(name string) { fmt.Fprintf(p.w, "=> %s\n", name) }

func (p plain) Note(msg string) { fmt.Fprintf(p.w, "   %s\n", msg) }

func (p plain) Bytes(task string, _ int64) (add func(int64), done func(error)) {
	t := newTally()
	return t.add, func(err error) {
		if n, took := t.sum(); err == nil && n > 0 {
			fmt.Fprintf(p.w, "   %s: %s in %.1fs\n", task, size(n), took.Seconds())
		}
	}
}

func (p plain) output() io.Writer { return p.w }

func (p plain) close() {}

// quiet shows nothing.
type quiet struct{}

func (quiet) Step(string) {}

func (quiet) Note(string) {}

func (quiet) Bytes(string, int64) (add func(int64), done func(error)) {
	return func(int64) {}, func(error) {}
}

func (quiet) output() io.Writer { return io.Discard }

func (quiet) close() {}

// An event is a line of --progress json.
type event struct {
	Event   string  `json:"event"` // step, note, output, begin, end, warning or error
	Name    string  `json:"name,omitempty"`
	Message string  `json:"message,omitempty"`
	Bytes   int64   `json:"bytes,omitempty"`
	Total   int64   `json:"total,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Tail    string  `json:"tail,omitempty"`
	Hint    string  `json:"hint,omitempty"`
}

// writeEvent writes an event as one line, in one piece.
func writeEvent(w io.Writer, e event) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return err
	}
	_, err := w.Write(line.Bytes())
	return err
}

// events writes one object per line.
type events struct{ w io.Writer }

func (p events) Step(name string) { _ = writeEvent(p.w, event{Event: "step", Name: name}) }

func (p events) Note(msg string) { _ = writeEvent(p.w, event{Event: "note", Message: msg}) }

func (p events) Bytes(task string, total int64) (add func(int64), done func(error)) {
	_ = writeEvent(p.w, event{Event: "begin", Name: task, Total: max(total, 0)})
	t := newTally()
	return t.add, func(err error) {
		n, took := t.sum()
		e := event{Event: "end", Name: task, Bytes: n, Total: max(total, 0), Seconds: took.Seconds()}
		if err != nil {
			e.Message = err.Error()
		}
		_ = writeEvent(p.w, e)
	}
}

func (p events) output() io.Writer {
	return &lines{each: func(l string) { _ = writeEvent(p.w, event{Event: "output", Message: l}) }}
}

func (p events) close() {}

// A tally counts bytes and time.
type tally struct {
	mu    sync.Mutex
	n     int64
	start time.Time
}

func newTally() *tally { return &tally{start: time.Now()} }

func (t *tally) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
}

func (t *tally) sum() (int64, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n, time.Since(t.start)
}

// lines hands whole lines on. A last one without an end stays.
type lines struct {
	mu   sync.Mutex
	rest []byte
	each func(line string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.each(string(bytes.TrimRight(line, "\r")))
		l.rest = rest
	}
}

// size is a number of bytes for people, in decimal units.
func size(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for ; f >= unit && i < 4; i++ {
		f /= unit
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGTP"[i])
}
