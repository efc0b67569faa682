package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/cache"
)

func open(t *testing.T, dir string) *cache.Dir {
	t.Helper()
	d, err := cache.Open(dir, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func put(t testing.TB, d *cache.Dir, content string) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	err = d.PutBlob(t.Context(), func(w io.Writer) (v1.Hash, error) {
		_, err := io.WriteString(w, content)
		return h, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLayersAreFoundOnlyWithAllTheirBlobs(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	h, other := put(t, d, "blob"), put(t, d, "other")
	if err := d.PutLayers("key", []v1.Descriptor{{Digest: other, Size: 5}, {Digest: h, Size: 4}}, []byte(`["a","b"]`)); err != nil {
		t.Fatal(err)
	}
	if got, about, ok, err := open(t, dir).Layers("key"); err != nil || !ok || len(got) != 2 || got[1].Digest != h || got[0].Size != 5 || string(about) != `["a","b"]` {
		t.Fatalf("got %v %s %v %v", got, about, ok, err)
	}
	if err := d.PutLayers("none", nil, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := d.Layers("none"); ok || err != nil {
		t.Errorf("an entry without a layer: %v, %v", ok, err)
	}
	if _, _, ok, err := d.Layers("other"); ok || err != nil {
		t.Errorf("another key: %v, %v", ok, err)
	}
	file, _ := d.Blob(h)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := d.Layers("key"); ok || err != nil {
		t.Errorf("a layer without a blob was found: %v, %v", ok, err)
	}
}

func TestABlobThatIsNotWholeIsNotKept(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	h, _, _ := v1.SHA256(strings.NewReader("wanted"))
	why := errors.New("cut")
	for name, err := range map[string]error{"wrong content": nil, "an error": why} {
		got := d.PutBlob(t.Context(), func(w io.Writer) (v1.Hash, error) {
			_, _ = io.WriteString(w, "half")
			return h, err
		})
		if got == nil || err != nil && !errors.Is(got, why) {
			t.Errorf("%s: got %v", name, got)
		}
		if _, ok := d.Blob(h); ok {
			t.Errorf("%s: the blob is there", name)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestABlobTellsItsDigest has who writes a blob ask for it instead of hashing.
func TestABlobTellsItsDigest(t *testing.T) {
	d := open(t, t.TempDir())
	for _, content := range []string{"", "blob", strings.Repeat("longer than any buffer ", 100_000)} {
		want, _, err := v1.SHA256(strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		err = d.PutBlob(t.Context(), func(w io.Writer) (v1.Hash, error) {
			_, err := io.WriteString(w, content)
			return w.(interface{ Digest() v1.Hash }).Digest(), err
		})
		file, ok := d.Blob(want)
		if err != nil || !ok {
			t.Fatalf("%d bytes: %v, %v", len(content), ok, err)
		}
		if data, err := os.ReadFile(file); err != nil || string(data) != content {
			t.Errorf("%d bytes: kept %d, %v", len(content), len(data), err)
		}
	}
}

func TestATreeIsFilledOnce(t *testing.T) {
	dir := t.TempDir()
	chain := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		d := open(t, dir)
		wg.Go(func() {
			tree, release, err := d.Tree(context.Background(), "set", chain, func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "f"), nil, 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if _, err := os.Stat(filepath.Join(tree, "f")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("it was filled %d times", n)
	}
}

// TestATreeIsHadByAllAtOnce lets nobody give a tree back before all have it:
// commands that wait for one another stand on it at the same time.
func TestATreeIsHadByAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	for n := range 50 {
		chain, _, err := v1.SHA256(strings.NewReader(fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		var all, done sync.WaitGroup
		all.Add(4)
		start := make(chan struct{})
		for range 4 {
			d := open(t, dir)
			done.Go(func() {
				<-start
				_, release, err := d.Tree(t.Context(), "xattr", chain, func(string) error { return nil })
				all.Done()
				if err != nil {
					t.Error(err)
					return
				}
				all.Wait()
				release()
			})
		}
		close(start)
		done.Wait()
	}
}

func TestATreeThatWasNotFilledIsAbsent(t *testing.T) {
	d := open(t, t.TempDir())
	chain := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}
	why := errors.New("no")
	if _, _, err := d.Tree(t.Context(), "set", chain, func(string) error { return why }); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if d.HasTree("set", chain) {
		t.Error("it is there")
	}
	finished := filepath.Join(d.Scratch(), "t")
	if err := os.Mkdir(finished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.AdoptTree(t.Context(), "set", chain, finished); err != nil || !d.HasTree("set", chain) {
		t.Errorf("adopting gave %v", err)
	}
}

func TestFileHashesAreRememberedWhileTheFileIsTheSame(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	file := filepath.Join(t.TempDir(), "f")
	sum := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("c", 64)}
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(file)
	if err != nil {
		t.Fatal(err)
	}
	d.PutFileHash(file, info, sum)
	if _, ok := d.FileHash(file, info); ok {
		t.Error("a file that was just written was remembered: it could change again within the same moment")
	}
	// The time of the last change cannot be set back, so one that every
	// machine has is used.
	old, err := os.Lstat("/usr")
	if err != nil {
		t.Fatal(err)
	}
	d.PutFileHash("/usr", old, sum)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, ok := open(t, dir).FileHash("/usr", old); !ok || got != sum {
		t.Errorf("an old file was forgotten: %v, %v", got, ok)
	}
	if _, ok := open(t, dir).FileHash("/usr", info); ok {
		t.Error("another file was taken for it")
	}
}

func TestACacheOfAnotherFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "format"), []byte("kanso cache 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(dir, cache.Options{}); err == nil || !strings.Contains(err.Error(), "kanso cache 99") {
		t.Errorf("got %v", err)
	}
}

func TestWhatKilledBuildsLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	d, err := cache.Open(dir, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(d.Scratch(), "run-1")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	other := open(t, dir)
	if _, err := os.Stat(left); err != nil {
		t.Errorf("the scratch of a running build was removed: %v", err)
	}
	if err := errors.Join(d.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(left); err == nil {
		t.Error("it is still there")
	}
}

func TestTheDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}

func TestValuesOfDifferentKeysDiffer(t *testing.T) {
	d := open(t, t.TempDir())
	for i := range 3 {
		if err := d.PutValue("kind", fmt.Sprint("../", i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if v, ok, err := d.Value("kind", fmt.Sprint("../", i)); err != nil || !ok || v[0] != byte(i) {
			t.Errorf("value %d is %v, %v, %v", i, v, ok, err)
		}
	}
	a, err := d.Packages("project", "pip")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := d.Packages("other", "pip"); err != nil || a == b {
		t.Errorf("two projects share %s, %v", a, err)
	}
}

func TestMountsLastAndAreSharedAsAsked(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	take := func(key string, share, wait bool) (string, func()) {
		t.Helper()
		got, release, err := open(t, dir).Mount(t.Context(), key, share, wait)
		if err != nil {
			t.Fatal(err)
		}
		return got, release
	}
	first, release := take("pip", true, false)
	if err := os.WriteFile(filepath.Join(first, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if again, done := take("pip", true, false); again != first {
		t.Errorf("shared by all are %s and %s", first, again)
	} else {
		done()
	}
	if other, done := take("apt", true, false); other == first {
		t.Error("two keys have one directory")
	} else {
		done()
	}
	private, done := take("pip", false, false)
	if private == first {
		t.Error("one that is not shared is in use already")
	}
	if third, done := take("pip", false, false); third == first || third == private {
		t.Errorf("got %s, which is in use", third)
	} else {
		done()
	}
	done()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, _, err := d.Mount(ctx, "pip", false, true); !errors.Is(err, why) {
		t.Errorf("one that waits got %v", err)
	}
	release()
	locked, done := take("pip", false, true)
	defer done()
	if _, err := os.Stat(filepath.Join(locked, "f")); err != nil {
		t.Errorf("what was in it is gone: %v", err)
	}
}
