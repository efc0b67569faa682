package oci_test

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kanso-build/kanso/oci"
)

const uploadPath = "/blobs/uploads/"

// TestPushesThatBreakOff pushes to a registry that answers badly once or for
// some time: the image arrives.
func TestPushesThatBreakOff(t *testing.T) {
	for name, c := range map[string]struct {
		rule rule
		wait time.Duration
	}{
		"503 when an upload begins":              {rule{"POST", uploadPath, 1, status(503)}, 300 * time.Millisecond},
		"429 when an upload begins":              {rule{"POST", uploadPath, 1, status(429, "Retry-After", "9")}, 9 * time.Second},
		"500 after the last byte":                {rule{"PUT", uploadPath, 1, swallowed}, 300 * time.Millisecond},
		"503 before the first byte":              {rule{"PUT", uploadPath, 1, status(503)}, 0},
		"a connection that ends mid-upload":      {rule{"PUT", uploadPath, 1, reset}, 0},
		"a connection that ends after an upload": {rule{"PUT", uploadPath, 1, stored}, 0},
		"a registry that hangs mid-upload":       {rule{"PUT", uploadPath, 1, hang}, 300 * time.Millisecond},
		"an upload that is forgotten":            {rule{"PATCH", uploadPath, 1, refusal(404, "BLOB_UPLOAD_UNKNOWN", "what upload?")}, 0},
		"500 for the manifest":                   {rule{"PUT", manifestPath, 1, status(500)}, 300 * time.Millisecond},
		"429 for the manifest":                   {rule{"PUT", manifestPath, 1, status(429, "Retry-After", "4")}, 4 * time.Second},
		"a connection that ends at the manifest": {rule{"PUT", manifestPath, 1, stored}, 0},
		"no chunks: 405":                         {rule{"PATCH", uploadPath, 0, status(405)}, 0},
		"no chunks: 404":                         {rule{"PATCH", uploadPath, 0, status(404)}, 0},
		"no chunks: 416":                         {rule{"PATCH", uploadPath, 0, status(416)}, 0},
		"no chunks: 501":                         {rule{"PATCH", uploadPath, 0, status(501)}, 0},
		"HEAD that fails once":                   {rule{"HEAD", blobPath, 1, status(502)}, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := unrulyBefore(t, ours(t))
			u.rules(c.rule)
			cl, l := impatient(t)
			if strings.Contains(name, "hangs") {
				cl.Stall = 300 * time.Millisecond
			}
			img := large(t, 9<<20)
			if _, err := cl.Push(t.Context(), img, []refTag{tag(t, cl, u.host+"/a/b:1")}); err != nil {
				t.Fatalf("%v; said %q", err, l.notes)
			}
			if c.wait != 0 && !slices.Contains(l.waits, c.wait) {
				t.Errorf("waited for %v, want %v", l.waits, c.wait)
			}
			if len(l.waits) != len(l.notes) {
				t.Errorf("said %q of pauses %v", l.notes, l.waits)
			}
			u.rules()
			got, err := pull(t.Context(), client(t), u.host+"/a/b:1")
			if err != nil || digest(t, got) != digest(t, img) {
				t.Errorf("what arrived is another image: %v", err)
			}
		})
	}
}

type refTag = name.Tag

// ours is kanso's own registry, which can say how far an upload is.
func ours(t *testing.T) http.Handler {
	t.Helper()
	h, err := oci.Registry(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// large is an image of one layer of so many bytes that do not compress.
func large(t *testing.T, size int) v1.Image {
	t.Helper()
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(data)
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(data, types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// swallowed takes everything and then fails.
func swallowed(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusInternalServerError)
}

// stored does what was asked for and does not say so.
func stored(w http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(&deaf{header: http.Header{}}, r)
	panic(http.ErrAbortHandler)
}

type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header         { return d.header }
func (d *deaf) Write(p []byte) (int, error) { return len(p), nil }
func (d *deaf) WriteHeader(int)             {}

// TestPushesThatAreRefused pushes to a registry that does not want it: the error
// says what is the matter, and nothing is sent again.
func TestPushesThatAreRefused(t *testing.T) {
	type is = func(*oci.RefusedError) bool
	for name, c := range map[string]struct {
		rule rule
		want string
		is   is // nil if it is no RefusedError
	}{
		"NAME_UNKNOWN":                   {rule{"POST", uploadPath, 0, refusal(404, "NAME_UNKNOWN", "The repository with name 'a/b' does not exist")}, "does not exist", (*oci.RefusedError).NoRepository},
		"DENIED":                         {rule{"POST", uploadPath, 0, refusal(403, "DENIED", "requested access is denied")}, "access is denied", func(e *oci.RefusedError) bool { return e.Status == 403 }},
		"a registry that is read only":   {rule{"POST", uploadPath, 0, refusal(405, "UNSUPPORTED", "read-only")}, "read-only", func(e *oci.RefusedError) bool { return e.Status == 405 }},
		"a tag that is immutable":        {rule{"PUT", manifestPath, 0, refusal(400, "TAG_INVALID", "the tag is immutable")}, "immutable", (*oci.RefusedError).Immutable},
		"an immutable tag: 409":          {rule{"PUT", manifestPath, 0, refusal(409, "TAG_ALREADY_EXISTS", "tag 1 already exists")}, "already exists", (*oci.RefusedError).Immutable},
		"a registry without OCI's types": {rule{"PUT", manifestPath, 0, refusal(400, "MANIFEST_INVALID", "unsupported schema")}, "unsupported schema", (*oci.RefusedError).MediaTypes},
		"415 for the manifest":           {rule{"PUT", manifestPath, 0, status(415)}, "Unsupported Media Type", (*oci.RefusedError).MediaTypes},
		"a layer type it does not know":  {rule{"PUT", manifestPath, 0, refusal(400, "UNSUPPORTED", "zstd")}, "zstd", (*oci.RefusedError).MediaTypes},
		"a blob that is too large":       {rule{"PUT", uploadPath, 0, refusal(413, "SIZE_INVALID", "too large")}, "too large", nil},
		"DIGEST_INVALID":                 {rule{"PUT", uploadPath, 0, refusal(400, "DIGEST_INVALID", "not what it is")}, "not what it is", nil},
		"no place to upload to":          {rule{"POST", uploadPath, 0, status(202)}, "does not say where", nil},
		"503 for ever":                   {rule{"PUT", uploadPath, 0, status(503)}, "503", nil},
		"a disk that is full":            {rule{"PUT", uploadPath, 0, status(507)}, "507", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := misbehaving(t)
			u.rules(c.rule)
			cl, l := impatient(t)
			_, err := cl.Push(t.Context(), linux(t, "amd64"), []refTag{tag(t, cl, u.host+"/a/b:1")})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), u.host+"/a/b") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			var refused *oci.RefusedError
			if errors.As(err, &refused) != (c.is != nil) || c.is != nil && !c.is(refused) {
				t.Errorf("got %#v", err)
			}
			if c.is != nil && len(l.waits) > 0 {
				t.Errorf("it was tried again: %q", l.notes)
			}
			if u.rules(); u.asked("PUT", manifestPath) > 0 {
				t.Error("a manifest was put")
			}
		})
	}
}

func TestAnImmutableTagThatIsTheImageAlreadyIsSuccess(t *testing.T) {
	u, img := misbehaving(t), linux(t, "amd64")
	frozen := rule{"PUT", manifestPath, 0, refusal(409, "TAG_ALREADY_EXISTS", "immutable")}
	push(t, client(t), img, u.host+"/a:1")
	u.rules(frozen)
	push(t, client(t), img, u.host+"/a:1")
	if u.asked("PUT", "") > 0 {
		t.Error("something was sent")
	}
	// It is not seen beforehand: somebody else is as fast.
	u.rules(rule{"HEAD", manifestPath, 1, status(404)}, frozen)
	push(t, client(t), img, u.host+"/a:1")
	u.rules(frozen)
	c, _ := impatient(t)
	var refused *oci.RefusedError
	if _, err := c.Push(t.Context(), linux(t, "amd64"), []refTag{tag(t, c, u.host+"/a:1")}); !errors.As(err, &refused) || !refused.Immutable() {
		t.Errorf("another image: %v", err)
	}
}

// TestPermissionIsAskedForBeforeAnythingIsBuilt asks registries that would
// refuse a push. Nothing is left there.
func TestPermissionIsAskedForBeforeAnythingIsBuilt(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(http.ResponseWriter, *http.Request, http.Handler)
		want string
	}{
		"it may not":           {refusal(403, "DENIED", "not you"), "not you"},
		"nobody logged in":     {status(401, "WWW-Authenticate", `Basic realm="x"`), "401"},
		"no such repository":   {refusal(404, "NAME_UNKNOWN", "create it"), "create it"},
		"an error of its own":  {status(500), "500"},
		"a page about nothing": {page, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			u := misbehaving(t)
			u.rules(rule{"POST", uploadPath, 0, c.do})
			cl, _ := impatient(t)
			if err := cl.CheckPush(t.Context(), tag(t, cl, u.host+"/a:1")); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	u := misbehaving(t)
	cl, _ := impatient(t)
	if err := cl.CheckPush(t.Context(), tag(t, cl, u.host+"/a:1")); err != nil || u.asked("PUT", "")+u.asked("PATCH", "") > 0 {
		t.Errorf("a registry that lets us: %v", err)
	}
}

// TestAMountThatIsRefusedIsSent has a base in the registry that is pushed to,
// which does not let its layers be mounted.
func TestAMountThatIsRefusedIsSent(t *testing.T) {
	for name, do := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"403": refusal(403, "DENIED", "not there"), "404": refusal(404, "NAME_UNKNOWN", "what"), "400": status(400), "405": status(405), "202": begun,
	} {
		t.Run(name, func(t *testing.T) {
			u := misbehaving(t)
			img := linux(t, "amd64")
			push(t, client(t), img, u.host+"/base:1")
			u.next = sameBlobsNowhere(u.next)
			cl, l := impatient(t)
			b, err := cl.Base(t.Context(), u.host+"/base:1", "")
			if err != nil {
				t.Fatal(err)
			}
			u.rules(rule{"POST", "/new/blobs/uploads/", 3, onlyMounts(do)})
			if _, err := cl.Push(t.Context(), b.Image, []refTag{tag(t, cl, u.host+"/new:1")}); err != nil {
				t.Fatalf("%v; %q", err, l.notes)
			}
			if u.asked("PUT", "/new/blobs/uploads/") != 4 {
				t.Errorf("sent %d blobs", u.asked("PUT", "/new/blobs/uploads/"))
			}
		})
	}
}

// onlyMounts misbehaves where something is to be mounted.
func onlyMounts(do func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("mount") == "" {
			next.ServeHTTP(w, r)
			return
		}
		do(w, r, next)
	}
}

// begun begins an upload instead of mounting.
func begun(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r = r.Clone(r.Context())
	r.URL.RawQuery = ""
	next.ServeHTTP(w, r)
}

// sameBlobsNowhere lets blobs of the repository new be there only once they are
// sent: ggcr's registry has one store for all.
func sameBlobsNowhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/new/blobs/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestProgressIsInBytes(t *testing.T) {
	u := misbehaving(t)
	c, l := impatient(t)
	img := linux(t, "amd64")
	push(t, c, img, u.host+"/a:1")
	if len(l.totals) != 4 || !maps.Equal(l.totals, l.bytes) {
		t.Errorf("pushed %v of %v", l.bytes, l.totals)
	}
	d, l2 := impatient(t)
	if _, err := pull(t.Context(), d, u.host+"/a:1"); err != nil {
		t.Fatal(err)
	}
	if len(l2.totals) != 3 || !maps.Equal(l2.totals, l2.bytes) {
		t.Errorf("pulled %v of %v", l2.bytes, l2.totals)
	}
}
