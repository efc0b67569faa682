package oci_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/kanso-build/kanso/oci"
)

// tokens is a registry that wants tokens, each of which is good for a number of
// requests.
type tokens struct {
	next    http.Handler
	realm   string // empty: its own
	good    int64
	left    atomic.Int64
	given   atomic.Int64
	expired atomic.Int64
}

func (k *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "pass:word" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		k.left.Store(k.good)
		k.given.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "t"})
		return
	}
	if r.Header.Get("Authorization") == "Bearer t" && k.left.Add(-1) >= 0 {
		k.next.ServeHTTP(w, r)
		return
	}
	if r.Header.Get("Authorization") != "" {
		k.expired.Add(1)
	}
	realm := k.realm
	if realm == "" {
		realm = "http://" + r.Host + "/token"
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="s"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// TestATokenThatExpires has tokens that are good for a few requests only, so
// that each kind of request meets an expired one.
func TestATokenThatExpires(t *testing.T) {
	for name, size := range map[string]int{"in uploads of one request": 100 << 10, "in uploads of parts": 9 << 20} {
		for good := range int64(6) {
			t.Run(name+" after "+itoa(int(good+1)), func(t *testing.T) {
				k := &tokens{next: ours(t), good: good + 1}
				u := unrulyBefore(t, k)
				c, l := impatient(t)
				c.Keychain = keychain(t, u.host)
				img := large(t, size)
				push(t, c, img, u.host+"/a:1")
				if k.expired.Load() == 0 || len(l.notes) > 0 {
					t.Errorf("%d tokens expired; said %q", k.expired.Load(), l.notes)
				}
				other, _ := impatient(t)
				other.Keychain = c.Keychain
				got, err := pull(t.Context(), other, u.host+"/a:1")
				if err != nil || digest(t, got) != digest(t, img) {
					t.Errorf("what arrived is another image: %v", err)
				}
			})
		}
	}
}

func TestATokenThatExpiresDuringABuild(t *testing.T) {
	k := &tokens{next: ours(t), good: 1000}
	u := unrulyBefore(t, k)
	c, _ := impatient(t)
	c.Keychain = keychain(t, u.host)
	if err := c.CheckPush(t.Context(), tag(t, c, u.host+"/a:1")); err != nil {
		t.Fatal(err)
	}
	k.left.Store(0)
	push(t, c, linux(t, "amd64"), u.host+"/a:1")
}

// TestRealms has registries that send us to places for tokens.
func TestRealms(t *testing.T) {
	for name, c := range map[string]struct {
		realm   string
		allowed []string
		refused bool
	}{
		"a foreign realm":             {"https://token.example/token", nil, true},
		"a realm of the metadata":     {"http://169.254.169.254/latest", nil, true},
		"a realm on a private host":   {"https://10.0.0.1/token", nil, true},
		"a realm on this machine":     {"https://[fd00:ec2::254]/token", nil, true},
		"another port of this host":   {"http://localhost:1/token", nil, false},
		"a foreign realm by its name": {"https://token.invalid/token", []string{"token.invalid"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := unrulyBefore(t, &tokens{next: ours(t), realm: c.realm})
			cl, _ := impatient(t)
			cl.Realms, cl.Keychain = c.allowed, keychain(t, u.host)
			_, err := cl.Base(t.Context(), u.host+"/a:1", "")
			var realm *oci.RealmError
			if err == nil || errors.As(err, &realm) != c.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestChallengesOfRubbish has registries whose words about logging in mean
// nothing: an error each.
func TestChallengesOfRubbish(t *testing.T) {
	for name, challenge := range map[string]string{
		"an unknown scheme": `Digest realm="x"`, "no realm": `Bearer service="x"`, "an open quote": `Bearer realm="http://`, "nothing": "",
		"a realm that is no URL": `Bearer realm="::::"`, "a realm that is a file": `Bearer realm="file:///etc/passwd"`, "bytes": "Bearer \x80\xff=\"\"",
		"a million commas": "Bearer " + strings.Repeat(",", 1<<19),
	} {
		t.Run(name, func(t *testing.T) {
			u := misbehaving(t)
			u.rules(rule{"", "", 0, status(401, "WWW-Authenticate", challenge)})
			c, _ := impatient(t)
			c.Keychain = keychain(t, u.host)
			if _, err := c.Base(t.Context(), u.host+"/a:1", ""); err == nil {
				t.Error("it was taken for an answer")
			}
			if err := c.CheckPush(t.Context(), tag(t, c, u.host+"/a:1")); err == nil {
				t.Error("it was taken for permission")
			}
		})
	}
}

// TestTokenServicesThatFail has token services that answer badly. The password
// is in no error.
func TestTokenServicesThatFail(t *testing.T) {
	for name, do := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"500": status(500), "404": status(404), "rubbish": page, "an endless answer": endless, "it hangs up": reset, "no token in it": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = io.WriteString(w, "{}") },
	} {
		t.Run(name, func(t *testing.T) {
			u := unrulyBefore(t, &tokens{next: ours(t), good: 100})
			u.rules(rule{"", "/token", 0, do})
			c, _ := impatient(t)
			c.Keychain = keychain(t, u.host)
			err := c.CheckPush(t.Context(), tag(t, c, u.host+"/a:1"))
			if err == nil || strings.Contains(err.Error(), "pass:word") || strings.Contains(err.Error(), "bWU6") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestLayersElsewhereGetNoCredentials redirects blobs to another host, for
// reading and for uploads.
func TestLayersElsewhereGetNoCredentials(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"blobs elsewhere, with a password": basic, "blobs elsewhere, with a token": func(h http.Handler) http.Handler { return &tokens{next: h, good: 1000} },
	} {
		t.Run(name, func(t *testing.T) {
			store := ours(t)
			other := unrulyBefore(t, store)
			there := "http://" + strings.Replace(other.host, "127.0.0.1", "localhost", 1)
			u := unrulyBefore(t, wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet && strings.Contains(r.URL.Path, blobPath):
					http.Redirect(w, r, there+r.URL.Path+"?signature=s3cret", http.StatusTemporaryRedirect)
				case r.Method == http.MethodPost:
					rec := &recorder{deaf: deaf{header: http.Header{}}}
					store.ServeHTTP(rec, r)
					w.Header().Set("Location", there+rec.header.Get("Location"))
					w.WriteHeader(rec.status)
				default:
					store.ServeHTTP(w, r)
				}
			})))
			c, _ := impatient(t)
			c.Keychain = keychain(t, u.host)
			img := large(t, 9<<20)
			push(t, c, img, u.host+"/a:1")
			d, _ := impatient(t)
			d.Keychain = c.Keychain
			got, err := pull(t.Context(), d, u.host+"/a:1")
			if err != nil || digest(t, got) != digest(t, img) {
				t.Fatalf("got %v", err)
			}
			if other.asked("GET", blobPath) == 0 || other.asked("PATCH", "") == 0 || other.asked("", "with credentials") > 0 {
				t.Errorf("the other host saw %q", other.log)
			}
			other.rules(rule{"GET", blobPath, 0, status(403)})
			e, l := impatient(t)
			e.Keychain = c.Keychain
			if _, err := pull(t.Context(), e, u.host+"/a:1"); err == nil || strings.Contains(err.Error()+strings.Join(l.notes, ""), "s3cret") {
				t.Errorf("the signature is in %v, %q", err, l.notes)
			}
		})
	}
}

// TestHelpersThatFail has credential helpers that do not do what they should.
func TestHelpersThatFail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"credsStore": "bad"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		helper func(ctx context.Context, helper, host string) ([]byte, error)
		want   string
	}{
		"it hangs": {func(ctx context.Context, _, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }, "deadline"},
		"it fails": {func(context.Context, string, string) ([]byte, error) {
			return []byte("locked"), errors.New("exit status 1")
		}, "exit status 1"},
		"it is rubbish":  {func(context.Context, string, string) ([]byte, error) { return []byte("s3cret <html>"), nil }, "does not answer with JSON"},
		"it is empty":    {func(context.Context, string, string) ([]byte, error) { return nil, nil }, "does not answer with JSON"},
		"it is an array": {func(context.Context, string, string) ([]byte, error) { return []byte(`["s3cret"]`), nil }, "does not answer with JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			k := oci.Keychain(oci.KeychainConfig{Files: []string{file}, Helper: c.helper})
			ctx, cancel := context.WithTimeout(t.Context(), 50_000_000)
			defer cancel()
			_, err := k.Source(ctx, "a.example/x")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "a.example") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestFilesOfCredentialsThatAreBroken are errors, that hold nothing of them.
func TestFilesOfCredentialsThatAreBroken(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": `{"auths": s3cret`, "no base64": `{"auths": {"a.example": {"auth": "s3cret!"}}}`, "no colon": `{"auths": {"a.example": {"auth": "czNjcmV0"}}}`, "empty": "",
	} {
		file := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := oci.Keychain(oci.KeychainConfig{Files: []string{file}}).Source(t.Context(), "a.example/x")
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "czNj") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDockerHubInAllSpellings finds the same image and the same credentials
// whatever the registry is called.
func TestDockerHubInAllSpellings(t *testing.T) {
	mirror := misbehaving(t)
	img := linux(t, "amd64")
	push(t, client(t), img, mirror.host+"/library/python:3")
	for _, spelled := range []string{"python:3", "library/python:3", "docker.io/python:3", "docker.io/library/python:3", "index.docker.io/library/python:3", "registry-1.docker.io/library/python:3", "registry.hub.docker.com/library/python:3"} {
		for _, of := range []string{"docker.io", "index.docker.io", "registry-1.docker.io"} {
			c, _ := impatient(t)
			m, err := oci.ParseMirror(of + "=" + mirror.host)
			if err != nil {
				t.Fatal(err)
			}
			c.Mirrors = []oci.Mirror{m}
			b, err := c.Base(t.Context(), spelled, "")
			if err != nil || b.Name != "docker.io/library/python:3" || b.Digest != digest(t, img) {
				t.Errorf("%s with a mirror of %s: %s, %v", spelled, of, b.Name, err)
			}
		}
	}
	for _, key := range []string{"https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io", "https://registry-1.docker.io/v2/", "docker.io/library"} {
		file := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(file, []byte(`{"auths": {"`+key+`": {"username": "u", "password": "p"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := oci.Keychain(oci.KeychainConfig{Files: []string{file}}).Source(t.Context(), "index.docker.io/library/python")
		if err != nil || got.User != "u" {
			t.Errorf("credentials of %s: %+v, %v", key, got, err)
		}
	}
}

// secured is a registry with TLS.
func secured(t *testing.T, h http.Handler, clients *x509.CertPool) (srv *httptest.Server, roots *x509.CertPool) {
	t.Helper()
	srv = httptest.NewUnstartedServer(h)
	if clients != nil {
		srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	}
	srv.Config.ErrorLog = quiet()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots = x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv, roots
}

func TestAuthoritiesOfOnesOwn(t *testing.T) {
	srv, roots := secured(t, ours(t), nil)
	host := strings.TrimPrefix(srv.URL, "https://")
	c, _ := impatient(t)
	c.RootCAs = x509.NewCertPool()
	var unknown x509.UnknownAuthorityError
	if err := c.CheckPush(t.Context(), tag(t, c, host+"/a:1")); !errors.As(err, &unknown) && !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without it: %v", err)
	}
	d, _ := impatient(t)
	d.RootCAs = roots
	push(t, d, linux(t, "amd64"), host+"/a:1")
}

func TestClientCertificatesAreShown(t *testing.T) {
	srv, roots := secured(t, ours(t), x509.NewCertPool())
	host := strings.TrimPrefix(srv.URL, "https://")
	c, _ := impatient(t)
	c.RootCAs = roots
	if err := c.CheckPush(t.Context(), tag(t, c, host+"/a:1")); err == nil {
		t.Error("it let us in without one")
	}
	d, _ := impatient(t)
	d.RootCAs, d.Certificates = roots, srv.TLS.Certificates
	push(t, d, linux(t, "amd64"), host+"/a:1")
}

// TestRequestsGoThroughTheProxy has a registry that only a proxy knows.
func TestRequestsGoThroughTheProxy(t *testing.T) {
	next := registry.New(registry.Logger(quiet()))
	var mu sync.Mutex
	hosts := map[string]bool{}
	proxy := unrulyBefore(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		hosts[r.URL.Host] = true
		mu.Unlock()
		next.ServeHTTP(w, r)
	}))
	c, _ := impatient(t)
	c.Insecure = []string{"registry.invalid"}
	c.Proxy = func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: proxy.host}, nil }
	push(t, c, linux(t, "amd64"), "registry.invalid/a:1")
	if _, err := pull(t.Context(), c, "registry.invalid/a:1"); err != nil || !hosts["registry.invalid"] {
		t.Errorf("%v; the proxy was asked for %v", err, hosts)
	}
}
