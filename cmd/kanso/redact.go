package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// mask stands where a secret was.
const mask = "***"

// A redactor knows secrets and keeps them out of what is written, and with them
// the passwords of all URLs. The zero value knows none. It may be used by several
// goroutines at once.
type redactor struct {
	mu      sync.RWMutex
	secrets [][]byte // longest first
	first   [256]bool
	known   map[string]bool
}

// add makes secrets known, with the forms in which they appear in URLs, JSON
// and credentials. Values of less than four bytes would mask ordinary text and
// are left out.
func (r *redactor) add(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]bool{}
	}
	for _, v := range values {
		r.addForms(strings.TrimSpace(v))
		if strings.Contains(strings.TrimSpace(v), "\n") { // a key, say, of which one line would be enough
			for line := range strings.Lines(v) {
				if line = strings.TrimSpace(line); len(line) >= 16 {
					r.addForms(line)
				}
			}
		}
	}
	slices.SortFunc(r.secrets, func(a, b []byte) int { return len(b) - len(a) })
}

func (r *redactor) addForms(v string) {
	forms := []string{v, url.QueryEscape(v), url.PathEscape(v), jsonForm(v, true), jsonForm(v, false)}
	if _, after, ok := strings.Cut(url.UserPassword("u", v).String(), ":"); ok {
		forms = append(forms, after)
	}
	forms = append(forms, base64Forms(v)...)
	for _, f := range forms {
		if len(f) < 4 || r.known[f] {
			continue
		}
		r.known[f] = true
		r.secrets = append(r.secrets, []byte(f))
		r.first[f[0]] = true
	}
}

// jsonForm is what a value looks like in JSON.
func jsonForm(v string, html bool) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	_ = enc.Encode(v) // strings always encode
	return strings.TrimSuffix(strings.TrimSpace(b.String())[1:], `"`)
}

// base64Forms are what a value looks like somewhere inside base64, at each of
// the three offsets, without the characters that depend on its neighbours.
func base64Forms(v string) []string {
	if len(v) < 8 {
		return nil // too little is left of it to be told from other text
	}
	var out []string
	for offset, skip := range []int{0, 2, 3} {
		data := append(make([]byte, offset), v...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(data)[skip:]
			if len(data)%3 != 0 {
				text = text[:len(text)-1]
			}
			out = append(out, text)
		}
	}
	return out
}

// text returns s without the secrets.
func (r *redactor) text(s string) string {
	out, rest := r.scan([]byte(s), true)
	return string(append(out, rest...))
}

// scan replaces secrets. Unless data is all there is, the end that may be the
// beginning of a secret is returned as rest.
func (r *redactor) scan(data []byte, all bool) (out, rest []byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out = make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		if data[i] == ':' {
			from, to, wait := userinfo(data[i:])
			if wait && !all {
				return out, data[i:]
			}
			if from > 0 {
				out = append(append(out, data[i:i+from]...), mask...)
				i += to
				continue
			}
		}
		if !r.first[data[i]] {
			out = append(out, data[i])
			i++
			continue
		}
		n, wait := r.match(data[i:])
		switch {
		case wait && !all:
			return out, data[i:]
		case n > 0:
			out = append(out, mask...)
			i += n
		default:
			out = append(out, data[i])
			i++
		}
	}
	return out, nil
}

// match returns the length of the longest secret that data begins with, 0 for
// none, and if data may be the beginning of a longer one.
func (r *redactor) match(data []byte) (n int, wait bool) {
	for _, s := range r.secrets {
		if len(s) > len(data) {
			wait = wait || bytes.HasPrefix(s, data)
			continue
		}
		if bytes.HasPrefix(data, s) {
			return len(s), wait
		}
	}
	return 0, wait
}

// A redactWriter is w without the secrets that r knows, also if they are
// written in pieces.
type redactWriter struct {
	r    *redactor
	mu   sync.Mutex
	w    io.Writer
	rest []byte
}

func (r *redactor) writer(w io.Writer) *redactWriter { return &redactWriter{r: r, w: w} }

// Write writes what cannot be the beginning of a secret.
func (w *redactWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, rest := w.r.scan(append(w.rest, p...), false)
	w.rest = slices.Clone(rest)
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := w.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes what was held back.
func (w *redactWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, _ := w.r.scan(w.rest, true)
	w.rest = nil
	if len(out) == 0 {
		return nil
	}
	_, err := w.w.Write(out)
	return err
}
