package oci_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter ends connections in which a number of bytes were sent.
type cutter struct {
	io.ReadCloser
	left *int64
}

func (c cutter) Read(p []byte) (int, error) {
	if *c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), *c.left)])
	*c.left -= int64(n)
	return n, err
}

// TestAnUploadGoesOnAfterACut sends a layer over a connection that is cut ten
// times: less than 1.2 times its size passes.
func TestAnUploadGoesOnAfterACut(t *testing.T) {
	const size = 48 << 20
	var received atomic.Int64
	var mu sync.Mutex
	cuts := 0
	u := unrulyBefore(t, ours(t))
	u.rules(rule{"PATCH", uploadPath, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		again := cuts < 10
		cuts++
		mu.Unlock()
		counted := &counting{r.Body, &received}
		if !again {
			r.Body = counted
			next.ServeHTTP(w, r)
			return
		}
		left := int64(4 << 20)
		r.Body = cutter{counted, &left}
		next.ServeHTTP(&deaf{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}})
	img := large(t, size)
	c, l := impatient(t)
	if _, err := c.Push(t.Context(), img, []refTag{tag(t, c, u.host+"/a:1")}); err != nil {
		t.Fatalf("%v; %q", err, l.notes)
	}
	if cuts != 11 || u.asked("POST", uploadPath) != 2 {
		t.Errorf("%d requests, %d uploads", cuts, u.asked("POST", uploadPath))
	}
	if n := received.Load(); n < size || n > size*12/10 {
		t.Errorf("%d bytes of %d passed", n, size)
	}
	for i, note := range l.notes {
		if !strings.HasPrefix(note, "push ") || !strings.Contains(note, "trying again in 300ms") {
			t.Errorf("%d: %q", i, note)
		}
	}
	got, err := pull(t.Context(), client(t), u.host+"/a:1")
	if err != nil || digest(t, got) != digest(t, img) {
		t.Errorf("what arrived is another image: %v", err)
	}
}

type counting struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestUploadsThatCannotGoOnBeginAgain cuts uploads at registries that do not
// know how far they are, or lie about it.
func TestUploadsThatCannotGoOnBeginAgain(t *testing.T) {
	for name, do := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"no such request":       status(405),
		"it is forgotten":       refusal(404, "BLOB_UPLOAD_UNKNOWN", "?"),
		"no range":              status(204),
		"a range of rubbish":    status(204, "Range", "bytes=many"),
		"a range below zero":    status(204, "Range", "0--5"),
		"a range past the end":  status(204, "Range", "0-99999999999"),
		"a range that is a lie": status(204, "Range", "0-5000000"),
	} {
		t.Run(name, func(t *testing.T) {
			u := unrulyBefore(t, ours(t))
			u.rules(rule{"PATCH", uploadPath, 1, reset}, rule{"GET", uploadPath, 0, do})
			img := large(t, 9<<20)
			c, l := impatient(t)
			if _, err := c.Push(t.Context(), img, []refTag{tag(t, c, u.host+"/a:1")}); err != nil {
				t.Fatalf("%v; %q", err, l.notes)
			}
			if n := u.asked("POST", uploadPath); n != 3 { // with that of the configuration
				t.Errorf("%d uploads", n)
			}
			u.rules()
			got, err := pull(t.Context(), client(t), u.host+"/a:1")
			if err != nil || digest(t, got) != digest(t, img) {
				t.Errorf("what arrived is another image: %v", err)
			}
		})
	}
}

// TestWhereAnUploadGoesOn has places in all forms that registries use.
func TestWhereAnUploadGoesOn(t *testing.T) {
	for name, change := range map[string]func(*url.URL){
		"a path":                    func(*url.URL) {},
		"a path with a query":       func(u *url.URL) { u.RawQuery = "_state=a%2Fb%3D&x=1" },
		"a whole URL":               func(u *url.URL) { u.Scheme = "http" },
		"a query that has a digest": func(u *url.URL) { u.RawQuery = "digest=sha256%3Aother" },
	} {
		t.Run(name, func(t *testing.T) {
			u := unrulyBefore(t, ours(t))
			u.rules(rule{"POST", uploadPath, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				rec := &recorder{deaf: deaf{header: http.Header{}}}
				next.ServeHTTP(rec, r)
				at, err := url.Parse(rec.header.Get("Location"))
				if err != nil {
					t.Error(err)
				}
				if change(at); at.Scheme != "" {
					at.Host = u.host
				}
				w.Header().Set("Location", at.String())
				w.WriteHeader(rec.status)
			}}, rule{"PUT", uploadPath, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.Contains(name, "query") && strings.Contains(name, "path") && r.URL.Query().Get("_state") != "a/b=" {
					t.Errorf("the query became %q", r.URL.RawQuery)
				}
				next.ServeHTTP(w, r)
			}})
			push(t, client(t), linux(t, "amd64"), u.host+"/a:1")
		})
	}
}

type recorder struct {
	deaf
	status int
}

func (r *recorder) WriteHeader(status int) { r.status = status }
