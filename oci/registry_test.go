package oci_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// server is a registry that logs requests.
type server struct {
	host string
	mu   sync.Mutex
	log  bytes.Buffer
}

func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// requests returns the lines of the log that begin with a method and hold a
// text, and forgets the log.
func (s *server) requests(method, text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for line := range strings.Lines(s.log.String()) {
		if strings.HasPrefix(line, method+" ") && strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Reset()
}

// serve starts a registry; wrap may be nil.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) *server {
	t.Helper()
	s := &server{}
	h, err := oci.Registry(t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s.host = strings.TrimPrefix(srv.URL, "http://")
	return s
}

func client(t *testing.T) *oci.Client {
	t.Helper()
	store, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &oci.Client{Cache: store}
}

func tag(t *testing.T, c *oci.Client, s string) name.Tag {
	t.Helper()
	tg, err := c.ParseTag(s)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func push(t *testing.T, c *oci.Client, img v1.Image, names ...string) name.Digest {
	t.Helper()
	var tags []name.Tag
	for _, n := range names {
		tags = append(tags, tag(t, c, n))
	}
	d, err := c.Push(t.Context(), img, tags)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// linux is an image of random layers for linux/arch.
func linux(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestWhatTheRegistryHasIsNotSentAgain(t *testing.T) {
	s, c := serve(t, nil), client(t)
	img := linux(t, "amd64")
	d := push(t, c, img, s.host+"/a/b:1", s.host+"/a/b:2", s.host+"/c:1")
	if h := digest(t, img).String(); d.DigestStr() != h {
		t.Errorf("pushed %s, want %s", d, h)
	}
	s.forget()
	push(t, c, img, s.host+"/a/b:1", s.host+"/c:1")
	if got := append(s.requests("PUT", ""), s.requests("POST", "")...); len(got) != 0 {
		t.Errorf("pushing again sent %q", got)
	}
	for _, ref := range []string{"/a/b:2", "/c:1", "/a/b@" + d.DigestStr()} {
		b, err := c.Base(t.Context(), s.host+ref, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(b.Image); err != nil || b.Digest != digest(t, img) {
			t.Errorf("%s: %v, digest %s", ref, err, b.Digest)
		}
	}
}

func TestBaseLayersAreMountedOrPassThrough(t *testing.T) {
	here, there := serve(t, nil), serve(t, nil)
	push(t, client(t), linux(t, "amd64"), here.host+"/base:1")
	for _, to := range []*server{here, there} {
		b := builder(t, map[string]string{"f": "x"})
		b.Client.Cache = b.Store.(*cache.Dir)
		img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: here.host + "/base:1", Steps: []plan.Step{plan.Copy{Files: []string{"f"}, Dest: "/app"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := here.requests("GET", "/blobs/"); len(got) > 1 { // its configuration
			t.Errorf("building read layers: %q", got)
		}
		here.forget()
		d := push(t, b.Client, img, to.host+"/team/app:1")
		back, err := client(t).Base(t.Context(), d.String(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(back.Image); err != nil {
			t.Error(err)
		}
		if to == here {
			if got := here.requests("PUT", "/blobs/uploads/"); len(got) != 2 { // layer and configuration
				t.Errorf("sent %q", got)
			}
		}
		here.forget()
	}
}

func TestAPlatformThatIsNotThereIsNamedWithThoseThatAre(t *testing.T) {
	s, c := serve(t, nil), client(t)
	push(t, c, linux(t, "arm64"), s.host+"/one:1")
	_, err := c.Base(t.Context(), s.host+"/one:1", "linux/amd64")
	var p *oci.PlatformError
	if !errors.As(err, &p) || p.Want != "linux/amd64" || p.Have[0] != "linux/arm64" {
		t.Errorf("got %v", err)
	}
	if b, err := c.Base(t.Context(), s.host+"/one:1", ""); err != nil || b.Platform.Architecture != "arm64" {
		t.Errorf("without a wish: %v, %v", b.Platform, err)
	}
	if _, err := c.Base(t.Context(), s.host+"/one:2", ""); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a missing tag: %v", err)
	}
	if _, err := c.Base(t.Context(), "oci:"+t.TempDir(), ""); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a missing layout: %v", err)
	}
}

func TestAMirrorIsAskedFirstAndTheRegistryAfterIt(t *testing.T) {
	mirror, origin, c := serve(t, nil), serve(t, nil), client(t)
	img := linux(t, "amd64")
	push(t, c, img, mirror.host+"/hub/zenmldocker/zenml:1", origin.host+"/only:1")
	m, err := oci.ParseMirror("docker.io=" + mirror.host + "/hub")
	if err != nil {
		t.Fatal(err)
	}
	c.Mirrors = []oci.Mirror{m, {Registry: origin.host, Host: mirror.host}}
	b, err := c.Base(t.Context(), "zenmldocker/zenml:1", "")
	if err != nil || b.Name != "docker.io/zenmldocker/zenml:1" || b.Digest != digest(t, img) {
		t.Errorf("got %+v, %v", b, err)
	}
	if _, err := c.Base(t.Context(), origin.host+"/only:1", ""); err != nil {
		t.Errorf("what the mirror does not have: %v", err)
	}
}

// basic lets a user with a password in.
func basic(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "pass:word" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func keychain(t *testing.T, host string) *oci.Credentials {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	auth := base64.StdEncoding.EncodeToString([]byte("me:pass:word"))
	if err := os.WriteFile(file, []byte(`{"auths": {"https://`+host+`/v2/": {"auth": "`+auth+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return oci.Keychain(oci.KeychainConfig{Files: []string{filepath.Join(t.TempDir(), "none.json"), file}})
}

func TestPushPermissionIsCheckedBeforehand(t *testing.T) {
	s, c := serve(t, basic), client(t)
	var refused *oci.RefusedError
	if err := c.CheckPush(t.Context(), tag(t, c, s.host+"/a:1")); !errors.As(err, &refused) {
		t.Errorf("without credentials: %v", err)
	}
	c = client(t)
	c.Keychain = keychain(t, s.host)
	if err := c.CheckPush(t.Context(), tag(t, c, s.host+"/a:1")); err != nil {
		t.Errorf("with credentials: %v", err)
	}
	push(t, c, linux(t, "amd64"), s.host+"/a:1")
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	var mu sync.Mutex
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if a := r.Header.Get("Authorization"); a != "" {
			leaked = append(leaked, r.Method+" "+r.URL.Path)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(elsewhere.Close)
	other := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)
	s := serve(t, func(h http.Handler) http.Handler {
		return basic(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		}))
	})
	c := client(t)
	c.Keychain = keychain(t, s.host)
	push(t, c, linux(t, "amd64"), s.host+"/a:1")
	if _, err := client(t).Base(t.Context(), s.host+"/a:1", ""); err == nil {
		t.Error("the registry let a stranger in")
	}
	c = client(t) // one that has not pushed it
	c.Keychain = keychain(t, s.host)
	_, err := c.Base(t.Context(), s.host+"/a:1", "")
	if err == nil {
		t.Error("the blob came from nowhere")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(leaked) > 0 {
		t.Errorf("credentials went elsewhere: %q", leaked)
	}
}

func TestABrokenTransferIsBegunAgain(t *testing.T) {
	var mu sync.Mutex
	cut := map[string]bool{}
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			first := !cut[r.Method+r.URL.Path] && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/")
			cut[r.Method+r.URL.Path] = true
			busy := first && len(cut)%2 == 0
			mu.Unlock()
			if first && !busy {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, client(t), linux(t, "amd64"), s.host+"/a:1")
}

func TestPlainHTTPIsSpokenWithLoopbackOnly(t *testing.T) {
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, "http://registry.invalid"+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, client(t), linux(t, "amd64"), s.host+"/a:1")
	_, err := client(t).Base(t.Context(), s.host+"/a:1", "")
	var plain *oci.PlainError
	if !errors.As(err, &plain) || plain.Host != "registry.invalid" {
		t.Errorf("got %v", err)
	}
}

func TestHelpersAreAskedForTheirHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"credHelpers": {"a.example": "one"}, "credsStore": "all", "auths": {"b.example/team": {"username": "u", "password": "p"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	k := oci.Keychain(oci.KeychainConfig{Files: []string{file}, Helper: func(_ context.Context, helper, host string) ([]byte, error) {
		if helper == "one" {
			return []byte(`{"Username": "<token>", "Secret": "t"}`), nil
		}
		if strings.Contains(host, "docker.io") {
			return []byte(`{"Username": "hub", "Secret": "s"}`), nil
		}
		return []byte("credentials not found in native keychain"), errors.New("exit status 1")
	}})
	for repo, want := range map[string]oci.Source{
		"a.example/x":               {File: file, Helper: "one"},
		"index.docker.io/library/x": {File: file, Helper: "all", User: "hub"},
		"b.example/team/x":          {File: file, User: "u"},
		"b.example/other":           {},
	} {
		if got, err := k.Source(t.Context(), repo); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", repo, got, err, want)
		}
	}
}
