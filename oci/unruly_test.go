package oci_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/oci"
)

// A rule makes an unruly registry misbehave.
type rule struct {
	method, path string // a method, or any; what the path holds
	times        int    // how often; 0 is always
	do           func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// unruly is a registry that misbehaves as rules say: the first that fits does.
type unruly struct {
	host string
	mu   sync.Mutex
	log  []string // "METHOD PATH", and " with credentials"
	all  []rule
	next http.Handler
}

func (u *unruly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	line := r.Method + " " + r.URL.Path
	if r.Header.Get("Authorization") != "" {
		line += " with credentials"
	}
	u.log = append(u.log, line)
	do := func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }
	for i, rule := range u.all {
		if rule.times < 0 || rule.method != "" && rule.method != r.Method || !strings.Contains(r.URL.Path, rule.path) {
			continue
		}
		if do = rule.do; rule.times == 1 {
			u.all[i].times = -1
		} else if rule.times > 1 {
			u.all[i].times--
		}
		break
	}
	u.mu.Unlock()
	do(w, r, u.next)
}

// asked counts the requests that begin so and hold a text.
func (u *unruly) asked(begin, holds string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, line := range u.log {
		if strings.HasPrefix(line, begin) && strings.Contains(line, holds) {
			n++
		}
	}
	return n
}

// rules begins to misbehave, and forgets what was asked so far.
func (u *unruly) rules(rules ...rule) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all, u.log = rules, nil
}

// misbehaving is ggcr's registry, in this process, behind an unruly server.
func misbehaving(t *testing.T) *unruly {
	t.Helper()
	return unrulyBefore(t, registry.New(registry.Logger(quiet())))
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func unrulyBefore(t *testing.T, next http.Handler) *unruly {
	t.Helper()
	u := &unruly{next: next}
	srv := httptest.NewUnstartedServer(u)
	srv.Config.ErrorLog = quiet()
	srv.Start()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	u.host = strings.TrimPrefix(srv.URL, "http://")
	return u
}

// listener notes what a client says and how long it would wait.
type listener struct {
	mu     sync.Mutex
	waits  []time.Duration
	notes  []string
	totals map[string]int64
	bytes  map[string]int64
}

func (l *listener) Step(string) {}

func (l *listener) Note(msg string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, msg)
}

func (l *listener) Bytes(task string, total int64) (func(int64), func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.totals == nil {
		l.totals, l.bytes = map[string]int64{}, map[string]int64{}
	}
	l.totals[task], l.bytes[task] = total, 0
	return func(n int64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bytes[task] += n
	}, func(error) {}
}

func (l *listener) sleep(ctx context.Context, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, d)
	return ctx.Err()
}

// impatient is a client that does not really wait.
func impatient(t *testing.T) (*oci.Client, *listener) {
	t.Helper()
	l, c := &listener{}, client(t)
	c.Progress, c.Sleep = l, l.sleep
	c.Now = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
	return c, l
}

// pull reads everything of an image.
func pull(ctx context.Context, c *oci.Client, ref string) (v1.Image, error) {
	b, err := c.Base(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	ls, err := b.Image.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range ls {
		if _, err := c.Fetch(ctx, l); err != nil {
			return nil, err
		}
	}
	return b.Image, nil
}

// What a rule does.

// status answers so, with pairs of header and value.
func status(code int, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// refusal answers with an error of the specification.
func refusal(code int, name, msg string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"errors":[{"code":"`+name+`","message":"`+msg+`"}]}`)
	}
}

// changed answers with another body than the registry's; a length below zero
// announces none.
func changed(change func([]byte) []byte, length func(int) int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := change(rec.Body.Bytes())
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.Header().Del("Content-Length")
		if n := length(len(body)); n >= 0 {
			w.Header().Set("Content-Length", itoa(n))
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		if length(len(body)) > len(body) {
			panic(http.ErrAbortHandler)
		}
	}
}

// cut sends half of a body and ends the connection.
func cut(w http.ResponseWriter, r *http.Request, next http.Handler) {
	changed(func(b []byte) []byte { return b[:len(b)/2] }, func(n int) int { return 2*n + 1 })(w, r, next)
}

// reset ends the connection without an answer.
func reset(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client is gone
	<-r.Context().Done()
}
