package oci_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// halting sends up to a number of bytes of an answer and then ends the
// connection.
type halting struct {
	http.ResponseWriter
	left int64
	sent *atomic.Int64
}

func (h *halting) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	h.sent.Add(int64(n))
	if h.left == 0 {
		if f, ok := h.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// halved ends connections after so many bytes of an answer.
func halved(bytes int64, sent *atomic.Int64) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&halting{w, bytes, sent}, r)
	}
}

// TestADownloadGoesOnAfterACut gets a layer over a connection that is cut ten
// times: hardly more than its size passes.
func TestADownloadGoesOnAfterACut(t *testing.T) {
	const size = 44 << 20
	var sent atomic.Int64
	u := unrulyBefore(t, ours(t))
	img := large(t, size)
	push(t, client(t), img, u.host+"/a:1")
	c, l := impatient(t)
	b, err := c.Base(t.Context(), u.host+"/a:1", "")
	if err != nil {
		t.Fatal(err)
	}
	u.rules(rule{"GET", blobPath, 10, halved(4<<20, &sent)}, rule{"GET", blobPath, 0, halved(1<<40, &sent)})
	ls, err := b.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), ls[0]); err != nil { // which checks the digest
		t.Fatalf("%v; %q", err, l.notes)
	}
	if n := u.asked("GET", blobPath); n != 11 || len(l.notes) != 10 || len(l.waits) != 10 {
		t.Errorf("%d requests; said %q", n, l.notes)
	}
	if n := sent.Load(); n < size || n > size*12/10 {
		t.Errorf("%d bytes of %d passed", n, size)
	}
}

// TestDownloadsThatCannotGoOn has registries that do not do what a range asks
// for.
func TestDownloadsThatCannotGoOn(t *testing.T) {
	whole := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		next.ServeHTTP(w, r)
	}
	rangedOnly := func(do func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("Range") == "" {
				next.ServeHTTP(w, r)
				return
			}
			do(w, r, next)
		}
	}
	partial := func(bytes string, n int) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Range", bytes)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(make([]byte, n))
		}
	}
	for name, c := range map[string]struct {
		do   func(http.ResponseWriter, *http.Request, http.Handler)
		want string // of the error; empty if it arrives
	}{
		"ranges are passed over":   {whole, ""},
		"ranges are refused: 416":  {rangedOnly(status(416)), ""},
		"ranges are refused: 404":  {rangedOnly(status(404)), ""},
		"ranges are refused: 501":  {rangedOnly(status(501)), ""},
		"another range":            {rangedOnly(partial("bytes 0-10/11", 11)), `answers with the range "bytes 0-10/11"`},
		"no range at all":          {rangedOnly(partial("", 11)), `answers with the range ""`},
		"other bytes of the range": {rangedOnly(partial("bytes 1000000-3145727/3145728", 2145728)), "has another digest"},
		"it is gone by now":        {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(404) }, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			u := unrulyBefore(t, ours(t))
			img := large(t, 3<<20)
			push(t, client(t), img, u.host+"/a:1")
			cl, l := impatient(t)
			b, err := cl.Base(t.Context(), u.host+"/a:1", "")
			if err != nil {
				t.Fatal(err)
			}
			ls, err := b.Image.Layers()
			if err != nil {
				t.Fatal(err)
			}
			u.rules(rule{"GET", blobPath, 1, halved(1_000_000, &sent)}, rule{"GET", blobPath, 0, c.do})
			_, err = cl.Fetch(t.Context(), ls[0])
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q; said %q", err, c.want, l.notes)
			}
			if h, _ := ls[0].Digest(); c.want != "" {
				if _, kept := cl.Cache.Blob(h); kept {
					t.Error("something of it was kept")
				}
			}
		})
	}
}

// TestAnUploadThatIsForgottenGoesOnInParts has a proxy that reads requests whole
// before it sends them on: of one that is cut nothing arrives.
func TestAnUploadThatIsForgottenGoesOnInParts(t *testing.T) {
	const size, part = 60 << 20, 16 << 20
	var received atomic.Int64
	cuts := 0
	u := unrulyBefore(t, ours(t))
	u.rules(rule{"PATCH", uploadPath, 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		counted := &counting{r.Body, &received}
		if cuts++; cuts <= 6 && cuts != 3 { // the third request is whole
			_, _ = io.CopyN(io.Discard, counted, 6<<20)
			panic(http.ErrAbortHandler)
		}
		r.Body = counted
		if r.ContentLength > part {
			t.Errorf("%d bytes in one request", r.ContentLength)
		}
		next.ServeHTTP(w, r)
	}})
	img := large(t, size)
	c, l := impatient(t)
	if _, err := c.Push(t.Context(), img, []refTag{tag(t, c, u.host+"/a:1")}); err != nil {
		t.Fatalf("%v; %q", err, l.notes)
	}
	if n := received.Load(); cuts != 9 || n < size+5*6<<20 || n > size+5*(6<<20+1<<19) {
		t.Errorf("%d bytes of %d passed in %d requests", n, size, cuts)
	}
	u.rules()
	got, err := pull(t.Context(), client(t), u.host+"/a:1")
	if err != nil || digest(t, got) != digest(t, img) {
		t.Errorf("what arrived is another image: %v", err)
	}
}

// TestPartsThatAreRefused has registries, and proxies before them, that take
// requests of some sizes only.
func TestPartsThatAreRefused(t *testing.T) {
	const mib = 1 << 20
	tooLarge := func(limit int64) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.ContentLength > limit {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
			next.ServeHTTP(w, r)
		}
	}
	second := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if bytes := r.Header.Get("Content-Range"); bytes != "" && !strings.HasPrefix(bytes, "0-") {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	}
	least := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("OCI-Chunk-Min-Length", strconv.Itoa(20*mib))
		next.ServeHTTP(w, r)
	}
	forgets := rule{"PATCH", uploadPath, 1, reset} // so that parts are tried
	for name, c := range map[string]struct {
		size  int
		rules []rule
		taken []int64 // the sizes of the requests that are taken
	}{
		"413 for more than 10 MB":             {18 * mib, []rule{{"", uploadPath, 0, tooLarge(10 * mib)}}, []int64{9 * mib / 2, 9 * mib / 2, 9 * mib / 2, 9 * mib / 2}},
		"413 for more than 1 MB":              {9 * mib, []rule{{"", uploadPath, 0, tooLarge(mib)}}, []int64{mib, mib, mib, mib, mib, mib, mib, mib, mib}},
		"413 for a request that has all":      {5 * mib, []rule{{"", uploadPath, 0, tooLarge(2 * mib)}}, []int64{5 * mib / 4, 5 * mib / 4, 5 * mib / 4, 5 * mib / 4}},
		"a second part is refused":            {24 * mib, []rule{forgets, {"PATCH", uploadPath, 0, second}}, []int64{16 * mib, 24 * mib}},
		"parts that must be larger than ours": {24 * mib, []rule{forgets, {"POST", uploadPath, 0, least}}, []int64{20 * mib, 4 * mib}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, taken := unrulyBefore(t, nil), []int64{}
			store := ours(t)
			u.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPatch {
					taken = append(taken, r.ContentLength)
				}
				store.ServeHTTP(w, r)
			})
			u.rules(c.rules...)
			img := large(t, c.size)
			cl, l := impatient(t)
			if _, err := cl.Push(t.Context(), img, []refTag{tag(t, cl, u.host+"/a:1")}); err != nil {
				t.Fatalf("%v; %q", err, l.notes)
			}
			if !slices.Equal(taken, c.taken) {
				t.Errorf("requests of %v bytes were taken, want %v; said %q", taken, c.taken, l.notes)
			}
			u.rules()
			got, err := pull(t.Context(), client(t), u.host+"/a:1")
			if err != nil || digest(t, got) != digest(t, img) {
				t.Errorf("what arrived is another image: %v", err)
			}
		})
	}
}
