package oci_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kanso-build/kanso/oci"
)

// twoAttachments are of two types.
func twoAttachments() []oci.Attachment {
	return []oci.Attachment{
		{Type: "application/spdx+json", Data: []byte(`{"spdxVersion":"SPDX-2.3"}`)},
		{Type: "application/vnd.in-toto+json", Data: []byte(`{"_type":"x"}`), Annotations: map[string]string{"kind": "provenance"}},
	}
}

// referrersRegistries are those that keep the list and those that do not, of ours
// and of somebody else's.
func referrersRegistries(t *testing.T) map[string]http.Handler {
	ours, err := oci.Registry(t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	without, err := oci.Registry(t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	return map[string]http.Handler{
		"ours": ours,
		"without the list": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				http.NotFound(w, r)
				return
			}
			without.ServeHTTP(subjectless{w}, r)
		}),
		"another":                  registry.New(quiet, registry.WithReferrersSupport(true)),
		"another without the list": registry.New(quiet),
	}
}

// subjectless is the answer of a registry that knows nothing of subjects.
type subjectless struct{ http.ResponseWriter }

func (d subjectless) WriteHeader(status int) {
	d.Header().Del("OCI-Subject")
	d.ResponseWriter.WriteHeader(status)
}

func TestAttachmentsAreListedByRegistries(t *testing.T) {
	for what, handler := range referrersRegistries(t) {
		t.Run(what, func(t *testing.T) {
			var puts atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					puts.Add(1)
				}
				handler.ServeHTTP(w, r)
			}))
			t.Cleanup(srv.Close)
			c, img := client(t), linux(t, "amd64")
			tag := tag(t, c, strings.TrimPrefix(srv.URL, "http://")+"/team/image:1")
			pushed := push(t, c, img, tag.Name())
			if err := c.Attach(t.Context(), img, tag.Repository, twoAttachments()); err != nil {
				t.Fatal(err)
			}
			wantAttached(t, c, tag.Name())
			wantAttached(t, c, pushed.Name())
			before := puts.Load()
			if err := client(t).Attach(t.Context(), img, tag.Repository, twoAttachments()); err != nil {
				t.Fatal(err)
			}
			if n := puts.Load() - before; n != 0 {
				t.Errorf("what is there was put again: %d PUTs", n)
			}
			wantListed(t, pushed)
		})
	}
}

// wantAttached says whether an image has the two attachments.
func wantAttached(t *testing.T, c *oci.Client, ref string) {
	t.Helper()
	b, err := c.Base(t.Context(), ref, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range twoAttachments() {
		got, err := c.Attachments(t.Context(), b, want.Type)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]oci.Attachment{want}, got); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
	if got, err := c.Attachments(t.Context(), b, "text/plain"); err != nil || len(got) != 0 {
		t.Errorf("%s: %v, %v of another type", ref, got, err)
	}
}

// wantListed asks somebody else's client.
func wantListed(t *testing.T, image name.Digest) {
	t.Helper()
	index, err := remote.Referrers(image, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, d := range m.Manifests {
		artifact, err := remote.Image(image.Context().Digest(d.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		am, err := artifact.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if am.Subject == nil || am.Subject.Digest.String() != image.DigestStr() {
			t.Errorf("%s is about %v", am.ArtifactType, am.Subject)
		}
		kinds[am.ArtifactType] = true
	}
	if diff := cmp.Diff(map[string]bool{"application/spdx+json": true, "application/vnd.in-toto+json": true}, kinds); diff != "" {
		t.Error(diff)
	}
}

// Attachments in layouts and archives: the image is still the only one there is.
func TestAttachmentsInLayouts(t *testing.T) {
	dir := t.TempDir()
	img := linux(t, "amd64")
	for _, place := range []string{"oci:" + filepath.Join(dir, "layout"), "oci-archive:" + filepath.Join(dir, "archive.tar")} {
		out, err := oci.ParseOutput(place)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time nothing is new
			if err := oci.WriteAttached(t.Context(), out, img, "1", twoAttachments()); err != nil {
				t.Fatal(err)
			}
		}
		wantAttached(t, client(t), place)
		wantAttached(t, client(t), place+":1")
	}
	// Another image beside it, and its attachments.
	out, err := oci.ParseOutput("oci:" + filepath.Join(dir, "layout"))
	if err != nil {
		t.Fatal(err)
	}
	if err := oci.WriteAttached(t.Context(), out, linux(t, "amd64"), "2", twoAttachments()); err != nil {
		t.Fatal(err)
	}
	wantAttached(t, client(t), "oci:"+out.Path+":1")
	wantAttached(t, client(t), "oci:"+out.Path+":2")
	index, err := os.ReadFile(filepath.Join(out.Path, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(index), `"digest"`); n != 4 {
		t.Errorf("the index has %d entries, want two images and what is beside each: %s", n, index)
	}
}

func TestDockersArchivesTakeNoAttachments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	out, err := oci.ParseOutput("docker-archive:" + file)
	if err != nil {
		t.Fatal(err)
	}
	err = oci.WriteAttached(t.Context(), out, linux(t, "amd64"), "1", twoAttachments())
	if err == nil || !strings.Contains(err.Error(), "no place for what is attached") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file is there: %v", err)
	}
}

// A registry that wants no such manifests says so, and so do we.
func TestARegistryThatTakesNoAttachments(t *testing.T) {
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:") {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_INVALID","message":"unknown artifact"}]}`)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	c := client(t)
	tag := tag(t, c, s.host+"/team/image:1")
	var refused *oci.RefusedError
	if err := c.Attach(t.Context(), linux(t, "amd64"), tag.Repository, twoAttachments()); !errors.As(err, &refused) || refused.Msg != "unknown artifact" {
		t.Errorf("%v", err)
	}
}
