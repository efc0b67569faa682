package cache_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/cache"
)

// FuzzEntries has a cache whose files hold anything: what is found is whole and
// lies within.
func FuzzEntries(f *testing.F) {
	made := f.TempDir()
	fill(f, made)
	_ = filepath.WalkDir(made, func(p string, d fs.DirEntry, err error) error {
		if data, rerr := os.ReadFile(p); err == nil && rerr == nil && len(data) > 0 {
			f.Add(data, "a")
		}
		return nil
	})
	f.Add([]byte(`{"layers":[{"size":-1,"digest":"sha256:../../x"}]}`), "../../../x")
	dir := filepath.Join(f.TempDir(), "c")
	f.Fuzz(func(t *testing.T, data []byte, hex string) {
		fill(t, dir)
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && filepath.Base(p) != "format" {
				return os.WriteFile(p, data, 0o600)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := cache.Open(dir, cache.Options{})
		if err != nil {
			return // it says what is wrong
		}
		defer d.Close()
		descs, _, ok, _ := d.Layers("key")
		for _, desc := range descs {
			file, there := d.Blob(desc.Digest)
			info, err := os.Stat(file)
			if !ok || !there || err != nil || info.Size() != desc.Size {
				t.Errorf("a layer of %d bytes without its blob: %v", desc.Size, err)
			}
		}
		_, _, _ = d.Value("kind", "key")
		_, _ = d.List(t.Context())
		if file, ok := d.Blob(v1.Hash{Algorithm: "sha256", Hex: hex}); ok {
			if rel, err := filepath.Rel(dir, file); err != nil || !filepath.IsLocal(rel) {
				t.Errorf("the blob %q is %s", hex, file)
			}
		}
	})
}

// fill makes a cache with an entry of each kind.
func fill(t testing.TB, dir string) {
	t.Helper()
	d, err := cache.Open(dir, cache.Options{})
	if err != nil {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if d, err = cache.Open(dir, cache.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	h := put(t, d, "blob")
	if err := d.PutLayers("key", []v1.Descriptor{{Digest: h, Size: 4}}, []byte("[]")); err != nil {
		t.Fatal(err)
	}
	if err := d.PutValue("kind", "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
