package oci

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// FuzzReference reads anything as a name, a mirror and an output: what is
// accepted is written in a way that is read as the same.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"a", "a/b:c", "docker.io/a", "localhost:5000/a/b:1", "[::1]:5000/a", "a@sha256:" + strings.Repeat("0", 64), "docker.io=h:1/p", "oci:d:t", "A/b", "a:b:c", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &Client{Insecure: []string{"h:1"}}
		if tag, err := c.ParseTag(s); err == nil {
			again, err := c.ParseTag(tag.Name())
			if err != nil || again.Name() != tag.Name() {
				t.Errorf("%q is %q, which is %v, %v", s, tag.Name(), again, err)
			}
			if strings.Contains("/"+tag.RepositoryStr()+"/", "/../") {
				t.Errorf("%q climbs", tag.Name())
			}
		}
		if m, err := ParseMirror(s); err == nil {
			if m.Registry == "" || m.Host == "" || strings.Contains(m.Host, "/") {
				t.Errorf("%q is %+v", s, m)
			}
			ref, err := name.ParseReference("x/y:1")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = (&Client{Mirrors: []Mirror{m}}).places(ref) // only that it returns
		}
		_, _ = ParseOutput(s)
	})
}

// FuzzChallenge reads anything as what a registry says about logging in: a
// realm that is let through is one of the registry's domain.
func FuzzChallenge(f *testing.F) {
	for _, s := range []string{`Bearer realm="https://auth.docker.io/token",service="x"`, `Basic realm="x"`, `bearer REALM=http://evil/`, `Bearer a="realm=\"x\"",realm="https://a"`, `Bearer realm="https://a", Bearer realm="https://b"`} {
		f.Add("index.docker.io", s)
	}
	f.Fuzz(func(t *testing.T, host, s string) {
		if strings.ContainsAny(s, "\r\n\x00") {
			t.Skip()
		}
		_, err := checkRealms(host, []string{s}, nil)
		if _, again := checkRealms(host, []string{s}, nil); (err == nil) != (again == nil) {
			t.Error("once it is refused and once not")
		}
		_ = related(s, host)
		if related(host, s) != related(s, host) {
			t.Errorf("%q and %q are related one way", host, s)
		}
		c := &Client{}
		_ = c.retryAfter(s)
		_ = http.Header{"Www-Authenticate": {s}}
	})
}

// memoryBlobs has one blob, whatever is asked for.
type memoryBlobs []byte

func (b memoryBlobs) open(d v1.Descriptor) (io.ReadCloser, error) {
	return checkBlob(io.NopCloser(bytes.NewReader(b)), d), nil
}
func (memoryBlobs) file(v1.Hash) (string, bool)         { return "", false }
func (memoryBlobs) repository() (name.Repository, bool) { return name.Repository{}, false }

// FuzzManifest reads anything as a manifest and a configuration: an image that
// is accepted holds together.
func FuzzManifest(f *testing.F) {
	h := `"sha256:` + strings.Repeat("a", 64) + `"`
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":`+h+`,"size":2},"layers":[{"digest":`+h+`,"size":-1}]}`), []byte(`{"rootfs":{"diff_ids":[`+h+`]}}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":`+h+`}],"layers":[]}`), []byte(`{}`))
	f.Add([]byte(`{"schemaVersion":2,"layers":null}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		_, _ = readImage(manifest, nil, memoryBlobs(config)) // only that it returns
		if index, err := v1.ParseIndexManifest(bytes.NewReader(manifest)); err == nil {
			_, _ = choose("x", index, nil)
		}
		_, _ = mediaTypeOf(manifest)
		img, err := readImage(manifest, config, memoryBlobs(config))
		if err != nil {
			return
		}
		ls, err := img.Layers()
		if err != nil || len(ls) != len(img.parsedConfig.RootFS.DiffIDs) {
			t.Errorf("%d layers, %d diff ids, %v", len(ls), len(img.parsedConfig.RootFS.DiffIDs), err)
		}
		for _, l := range ls {
			if size, err := l.Size(); err != nil || size < 0 {
				t.Errorf("a layer of %d bytes, %v", size, err)
			}
		}
		if _, err := json.Marshal(img.parsedConfig); err != nil {
			t.Error(err)
		}
		if single(manifest) != nil {
			t.Error("it is an index, too")
		}
	})
}

// FuzzCredentials reads anything as a file of credentials: an error holds
// nothing of it.
func FuzzCredentials(f *testing.F) {
	f.Add([]byte(`{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cA=="}}}`))
	f.Add([]byte(`{"auths": {"a.example/team": {"identitytoken": "t"}}, "credsStore": "x", "credHelpers": {"a.example": "y"}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(dir, "config.json")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		k := Keychain(KeychainConfig{Files: []string{file}})
		for _, repo := range []string{"index.docker.io/library/x", "a.example/team/x"} {
			_, _ = k.Source(t.Context(), repo) // only that it returns
		}
	})
}
