package oci_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kanso-build/kanso/oci"
)

func itoa(n int) string { return strconv.Itoa(n) }

func same(n int) int { return n }

func grown(b []byte) []byte { return append(bytes.Clone(b), "more"...) }

func turned(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func none(int) int { return -1 }

// The parts of an image, by what their paths hold. The configuration is told
// from layers by when it is asked for.
const (
	manifestPath = "/manifests/"
	blobPath     = "/blobs/"
)

// TestRegistriesThatBreakOff gets an image from a registry that answers badly
// once or for some time: it comes, after the pauses that were asked for.
func TestRegistriesThatBreakOff(t *testing.T) {
	once := func(method, path string, do func(http.ResponseWriter, *http.Request, http.Handler)) rule {
		return rule{method, path, 1, do}
	}
	first := 300 * time.Millisecond
	for name, c := range map[string]struct {
		rule rule
		wait time.Duration // of the first pause; 0 if there is none
	}{
		"429 with Retry-After in seconds":      {once("GET", manifestPath, status(429, "Retry-After", "7")), 7 * time.Second},
		"429 with Retry-After as a date":       {once("GET", manifestPath, status(429, "Retry-After", "Tue, 01 Jan 2030 00:00:30 GMT")), 30 * time.Second},
		"429 with a Retry-After in the past":   {once("GET", manifestPath, status(429, "Retry-After", "Tue, 01 Jan 2020 00:00:30 GMT")), first},
		"429 without Retry-After":              {once("GET", manifestPath, status(429)), first},
		"429 with Retry-After of rubbish":      {once("GET", manifestPath, status(429, "Retry-After", "soon")), first},
		"429 that asks for a day":              {once("GET", manifestPath, status(429, "Retry-After", "86400")), 2 * time.Minute},
		"429 when it is greeted":               {once("GET", "/v2/", status(429, "Retry-After", "2")), 2 * time.Second},
		"503 with Retry-After":                 {once("GET", blobPath, status(503, "Retry-After", "3")), 3 * time.Second},
		"500 instead of a manifest":            {once("GET", manifestPath, status(500)), first},
		"502 instead of a configuration":       {once("GET", blobPath, status(502)), first},
		"504 for a digest":                     {once("HEAD", manifestPath, status(504)), first},
		"408 instead of a blob":                {once("GET", blobPath, status(408)), first},
		"a manifest that is cut":               {once("GET", manifestPath, cut), first},
		"a blob that is cut":                   {once("GET", blobPath, cut), first},
		"a blob that is cut three times":       {rule{"GET", blobPath, 3, cut}, first},
		"a connection that ends unanswered":    {rule{"GET", manifestPath, 2, reset}, 0},
		"HEAD that is not allowed":             {rule{"HEAD", manifestPath, 0, status(405)}, 0},
		"HEAD that says no digest":             {rule{"HEAD", manifestPath, 0, status(200, "Content-Type", "application/json")}, 0},
		"a registry that hangs once":           {once("GET", blobPath, hang), first},
		"a body that stands still":             {once("GET", blobPath, halfAndHang), first},
		"a Content-Length that is too large":   {once("GET", blobPath, changed(slices.Clone[[]byte], func(n int) int { return n + 9 })), first},
		"no Content-Length":                    {rule{"GET", blobPath, 0, changed(slices.Clone[[]byte], none)}, 0},
		"a registry that says nothing of type": {rule{"GET", blobPath, 0, untyped}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := misbehaving(t)
			img := linux(t, "amd64")
			push(t, client(t), img, u.host+"/a/b:1")
			u.rules(c.rule)
			cl, l := impatient(t)
			cl.Stall = time.Minute
			if strings.Contains(name, "hangs") || strings.Contains(name, "still") {
				cl.Stall = 200 * time.Millisecond
			}
			got, err := pull(t.Context(), cl, u.host+"/a/b:1")
			if err != nil {
				t.Fatalf("%v; said %q", err, l.notes)
			}
			if digest(t, got) != digest(t, img) {
				t.Error("it is another image")
			}
			if c.wait != 0 && (len(l.waits) == 0 || l.waits[0] != c.wait) {
				t.Errorf("waited for %v, want %v", l.waits, c.wait)
			}
			if len(l.waits) != len(l.notes) || len(l.notes) > 0 && !strings.Contains(l.notes[0], "trying again in "+l.waits[0].String()) {
				t.Errorf("said %q of pauses %v", l.notes, l.waits)
			}
		})
	}
}

func halfAndHang(w http.ResponseWriter, r *http.Request, next http.Handler) {
	changed(func(b []byte) []byte { return b[:len(b)/2] }, none)(w, r, next)
	<-r.Context().Done()
}

func untyped(w http.ResponseWriter, r *http.Request, next http.Handler) {
	w.Header()["Content-Type"] = nil
	changed(slices.Clone[[]byte], same)(w, r, next)
}

// endless sends something for ever.
func endless(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	for block := make([]byte, 1<<20); ; {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// TestRegistriesThatAreWrong gets an image from a registry that lies or gives
// up for good: that is an error soon, and nothing of it is kept.
func TestRegistriesThatAreWrong(t *testing.T) {
	for name, c := range map[string]struct {
		rule  rule
		want  string // in the error
		tries int    // of the request that went wrong
	}{
		"429 for ever":                      {rule{"GET", blobPath, 0, status(429)}, "429", 5},
		"503 for ever":                      {rule{"GET", blobPath, 0, status(503)}, "503", 5},
		"501 is final":                      {rule{"GET", blobPath, 0, status(501)}, "501", 1},
		"403 is final":                      {rule{"GET", blobPath, 0, refusal(403, "DENIED", "not yours")}, "not yours", 1},
		"404 is final":                      {rule{"GET", blobPath, 0, refusal(404, "BLOB_UNKNOWN", "gone")}, "not found", 1},
		"a blob that is always cut":         {rule{"GET", blobPath, 0, cut}, "unexpected EOF", 5},
		"a registry that always hangs":      {rule{"GET", blobPath, 0, hang}, "has been silent for 100ms", 5},
		"a blob that is too long":           {rule{"GET", blobPath, 0, changed(grown, none)}, "longer than", 1},
		"a blob that never ends":            {rule{"GET", blobPath, 0, endless}, "longer than", 1},
		"a blob with another digest":        {rule{"GET", blobPath, 0, changed(turned, same)}, "verifying sha256", 1},
		"a Content-Length that is too long": {rule{"GET", blobPath, 0, changed(grown, same)}, "longer than", 1},
		"a Content-Length that is short":    {rule{"GET", blobPath, 0, changed(func(b []byte) []byte { return b[:len(b)-3] }, same)}, "verifying sha256", 1},
		"a manifest with another digest":    {rule{"GET", manifestPath, 0, changed(turned, same)}, "does not match", 1},
		"a manifest that never ends":        {rule{"GET", manifestPath, 0, endless}, "exceed", 1},
		"a page instead of a manifest":      {rule{"", manifestPath, 0, page}, "", 0},
		"redirects that never end":          {rule{"GET", blobPath, 0, around}, "stopped after 10 redirects", 0},
		"a redirect to a private address":   {rule{"GET", blobPath, 0, status(307, "Location", "https://169.254.169.254/latest/meta-data/")}, "169.254.169.254", 1},
		"a redirect to a file":              {rule{"GET", blobPath, 0, status(307, "Location", "file:///etc/passwd")}, "file", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := misbehaving(t)
			push(t, client(t), linux(t, "amd64"), u.host+"/a/b:1")
			u.rules(c.rule)
			cl, l := impatient(t)
			if strings.Contains(name, "hangs") {
				cl.Stall = 100 * time.Millisecond
			}
			_, err := pull(t.Context(), cl, u.host+"/a/b:1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v; want %q", err, c.want)
			}
			if got := u.asked(c.rule.method, c.rule.path); c.tries > 0 && got != c.tries {
				t.Errorf("asked %d times, want %d; said %q", got, c.tries, l.notes)
			}
			u.rules()
			if _, err := pull(t.Context(), cl, u.host+"/a/b:1"); err != nil {
				t.Errorf("afterwards, with the same cache: %v", err)
			}
		})
	}
}

func page(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html>Please log in</html>")
}

func around(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
}

// TestALayerThatIsNotWholeIsNotKept cuts only what is a layer.
func TestALayerThatIsNotWholeIsNotKept(t *testing.T) {
	u := misbehaving(t)
	push(t, client(t), linux(t, "amd64"), u.host+"/a:1")
	cl, _ := impatient(t)
	b, err := cl.Base(t.Context(), u.host+"/a:1", "")
	if err != nil {
		t.Fatal(err)
	}
	ls, err := b.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	u.rules(rule{"GET", blobPath, 0, cut})
	if _, err := cl.Fetch(t.Context(), ls[0]); err == nil {
		t.Fatal("half a layer was taken for the whole")
	}
	u.rules()
	file, err := cl.Fetch(t.Context(), ls[0])
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if size, serr := ls[0].Size(); err != nil || serr != nil || info.Size() != size {
		t.Errorf("the file has %d bytes of %d, %v, %v", info.Size(), size, err, serr)
	}
}

// TestMirrorsAreAskedInTheirOrder has mirrors that fail in several ways before
// the one that has the image.
func TestMirrorsAreAskedInTheirOrder(t *testing.T) {
	img := linux(t, "amd64")
	good, origin := misbehaving(t), misbehaving(t)
	push(t, client(t), img, good.host+"/x/a:1")
	for name, do := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"a mirror that is empty":       nil,
		"a mirror that is down":        status(503),
		"a mirror that hangs":          hang,
		"a mirror that denies":         refusal(403, "DENIED", "no"),
		"a mirror that wants a login":  status(401, "WWW-Authenticate", `Basic realm="x"`),
		"a mirror that answers a page": page,
	} {
		t.Run(name, func(t *testing.T) {
			bad := misbehaving(t)
			if do != nil {
				bad.rules(rule{"", "/", 0, do})
			}
			c, l := impatient(t)
			c.Stall = 100 * time.Millisecond
			c.Keychain = keychain(t, origin.host)
			c.Mirrors = []oci.Mirror{{Registry: origin.host, Host: bad.host, Path: "x"}, {Registry: origin.host, Host: good.host, Path: "x"}}
			got, err := pull(t.Context(), c, origin.host+"/a:1")
			if err != nil || digest(t, got) != digest(t, img) {
				t.Fatalf("%v; said %q", err, l.notes)
			}
			if !slices.ContainsFunc(l.notes, func(s string) bool { return strings.HasPrefix(s, "mirror "+bad.host+": ") }) {
				t.Errorf("nothing is said of the mirror: %q", l.notes)
			}
			if bad.asked("", "") == 0 || origin.asked("", "") > 0 {
				t.Error("they were not asked in order")
			}
			if bad.asked("", "with credentials")+good.asked("", "with credentials") > 0 {
				t.Error("the mirrors got the registry's credentials")
			}
		})
	}
}

func TestAPlatformOfAMirrorIsNotLookedForElsewhere(t *testing.T) {
	mirror, origin := misbehaving(t), misbehaving(t)
	push(t, client(t), linux(t, "arm64"), mirror.host+"/a:1")
	c, _ := impatient(t)
	c.Mirrors = []oci.Mirror{{Registry: origin.host, Host: mirror.host}}
	_, err := c.Base(t.Context(), origin.host+"/a:1", "linux/amd64")
	var p *oci.PlatformError
	if !errors.As(err, &p) || origin.asked("", "") > 0 {
		t.Errorf("got %v after %d requests", err, origin.asked("", ""))
	}
}
