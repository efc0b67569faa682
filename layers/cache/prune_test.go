package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/cache"
)

// A clock is one second later each time.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Second)
	return c.t
}

// newClock begins an hour from now, since reading files moves their times up to
// the present.
func newClock() *clock { return &clock{t: time.Now().Add(time.Hour).Truncate(time.Second)} }

func openAt(t *testing.T, dir string, c *clock, limit int64) *cache.Dir {
	t.Helper()
	d, err := cache.Open(dir, cache.Options{Now: c.now, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func closed(t *testing.T, d *cache.Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// layer keeps a layer of some size, as a build does.
func layer(t *testing.T, d *cache.Dir, name string, size int) v1.Hash {
	t.Helper()
	h := put(t, d, strings.Repeat(name[:1], size))
	if _, ok := d.Blob(h); !ok {
		t.Fatalf("blob %s is not there", name)
	}
	if err := d.PutLayers(name, []v1.Descriptor{{Digest: h, Size: int64(size)}}, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	return h
}

func has(t *testing.T, d *cache.Dir, name string) bool {
	t.Helper()
	_, _, ok, err := d.Layers(name)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestTheLeastRecentlyUsedIsEvictedAfterABuild(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	d := openAt(t, dir, c, 0)
	for _, name := range []string{"a", "b", "c"} {
		layer(t, d, name, 10_000)
	}
	closed(t, d)

	d = openAt(t, dir, c, 25_000)
	if !has(t, d, "a") { // a is used again
		t.Fatal("a is not there")
	}
	layer(t, d, "d", 100)
	closed(t, d)

	d = openAt(t, dir, c, 0)
	defer d.Close()
	var left []string
	for _, name := range []string{"a", "b", "c", "d"} {
		if has(t, d, name) {
			left = append(left, name)
		}
	}
	if want := []string{"a", "c", "d"}; !slices.Equal(left, want) {
		t.Errorf("layers %v stayed, want %v", left, want)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "layers", "*", "*"))
	if err != nil || len(keys) != 3 {
		t.Errorf("%d keys stayed, error %v, want 3", len(keys), err)
	}
}

func TestWhatARunningBuildUsesStays(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	before := openAt(t, dir, c, 0)
	layer(t, before, "a", 1000)
	layer(t, before, "b", 1000)
	chain := put(t, before, "chain")
	fill := func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o600) }
	closed(t, before)

	running := openAt(t, dir, c, 0)
	defer running.Close()
	if !has(t, running, "a") {
		t.Fatal("a is not there")
	}
	tree, release, err := running.Tree(t.Context(), "set", chain, fill)
	if err != nil {
		t.Fatal(err)
	}
	pruner := openAt(t, dir, c, 0)
	defer pruner.Close()
	got, err := pruner.Prune(t.Context(), cache.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if !has(t, running, "a") || has(t, running, "b") {
		t.Errorf("a is there: %v, want true; b is there: %v, want false", has(t, running, "a"), has(t, running, "b"))
	}
	if _, err := os.Stat(filepath.Join(tree, "f")); err != nil || got.InUse == 0 {
		t.Errorf("tree in use: %v; %d entries are said to be in use", err, got.InUse)
	}
	release()
	if _, err := pruner.Prune(t.Context(), cache.Policy{}); err != nil {
		t.Fatal(err)
	}
	if pruner.HasTree("set", chain) {
		t.Error("a tree that nobody uses any more stayed")
	}
	if _, release, err = running.Tree(t.Context(), "set", chain, fill); err != nil {
		t.Fatalf("fill an evicted tree again: %v", err)
	}
	release()
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("tmp has %v, error %v", left, err)
	}
}

func TestNotesOfKilledBuildsProtectNothing(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	d := openAt(t, dir, c, 0)
	layer(t, d, "a", 1000)
	closed(t, d)
	note := filepath.Join(dir, "sessions", "session-1")
	if err := os.WriteFile(note, nil, 0o600); err != nil { // its time is long before that of the clock
		t.Fatal(err)
	}
	d = openAt(t, dir, c, 0)
	defer d.Close()
	if _, err := d.Prune(t.Context(), cache.Policy{}); err != nil {
		t.Fatal(err)
	}
	if has(t, d, "a") {
		t.Error("a layer of before stayed")
	}
	if _, err := os.Stat(note); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the note stayed: %v", err)
	}
}

func TestEntriesAreListedAndRemovedByName(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	d := openAt(t, dir, c, 0)
	defer func() { closed(t, d) }()
	h := layer(t, d, "a", 1000)
	layer(t, d, "b", 500)
	if err := d.PutValue("listing", "x", []byte("fact")); err != nil {
		t.Fatal(err)
	}
	packages, err := d.Packages("project", "pip")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(packages, "wheel"), make([]byte, 70), 0o600); err != nil {
		t.Fatal(err)
	}
	_, release, err := d.Tree(t.Context(), "set", h, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "f"), make([]byte, 30), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	release()
	mount, release, err := d.Mount(t.Context(), "id", true, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mount, "f"), make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := func() map[string]int64 {
		list, err := d.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int64{}
		for _, e := range list {
			out[e.Kind] += e.Size
			if e.Used.IsZero() {
				t.Errorf("%s %s was never used", e.Kind, e.Name)
			}
		}
		return out
	}
	got := kinds()
	if got[cache.KindBlob] != 1500 || got[cache.KindTree] != 30 || got[cache.KindPackages] != 70 || got[cache.KindMount] != 11 || got[cache.KindValue] == 0 || got[cache.KindLayer] == 0 {
		t.Errorf("sizes are %v", got)
	}
	closed(t, d)
	d = openAt(t, dir, c, 0)
	if out, err := d.Remove(t.Context(), []string{cache.KindMount}); err != nil || out.InUse != 1 {
		t.Errorf("a mount that is used: %v, %v", out, err)
	}
	release()
	if out, err := d.Remove(t.Context(), []string{cache.KindMount}); err != nil || len(out.Removed) != 1 {
		t.Errorf("a mount that is used no more: %v, %v", out, err)
	}
	out, err := d.Remove(t.Context(), []string{h.Hex[:12], cache.KindPackages})
	if err != nil || len(out.Removed) != 2 {
		t.Fatalf("removed %v, error %v, want a blob and packages", out.Removed, err)
	}
	if has(t, d, "a") || !has(t, d, "b") {
		t.Error("not a was removed but b")
	}
}

// damage changes a file so that its size, or its content alone, is another one.
func damage(t *testing.T, file, how string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	switch how {
	case "cut":
		data = data[:len(data)/2]
	case "empty":
		data = nil
	case "flipped":
		data[len(data)/2] ^= 1
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func only(t *testing.T, pattern ...string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, error %v, want one", files, err)
	}
	return files[0]
}

func TestDamageIsNoticedAndHealed(t *testing.T) {
	for _, how := range []string{"cut", "empty", "flipped"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir)
			h := layer(t, d, "a", 1000)
			damage(t, only(t, dir, "blobs", "sha256", "*"), how)
			if has(t, d, "a") {
				t.Error("the layer of a damaged blob was found")
			}
			if _, ok := d.Blob(h); ok {
				t.Error("a damaged blob was found")
			}
			layer(t, d, "a", 1000)
			damage(t, only(t, dir, "layers", "*", "*"), how)
			if has(t, d, "a") {
				t.Error("a damaged key was found")
			}
			layer(t, d, "a", 1000)
			if !has(t, d, "a") {
				t.Error("the layer was made again and is not there")
			}
			if err := d.PutValue("kind", "key", []byte("a fact")); err != nil {
				t.Fatal(err)
			}
			damage(t, only(t, dir, "values", "kind", "*"), how)
			if data, ok, err := d.Value("kind", "key"); ok || err != nil {
				t.Errorf("a damaged fact was found: %q, %v", data, err)
			}
		})
	}
}

func TestABlobThatWasOnlyTouchedIsFound(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	h := put(t, d, "blob")
	file := only(t, dir, "blobs", "sha256", "*")
	now := time.Now()
	if err := os.Chtimes(file, now, now); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, ok := d.Blob(h); !ok {
			t.Error("the blob is not there")
		}
	}
}

// TestBuildsAndEvictionAtOnce has builds use a cache that is always too small.
func TestBuildsAndEvictionAtOnce(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	var g sync.WaitGroup
	errs := make(chan error, 100)
	for n := range 4 {
		g.Go(func() {
			for i := range 10 {
				if err := useCache(t.Context(), dir, c, fmt.Sprint((n+i)%5)); err != nil {
					errs <- err
				}
			}
		})
	}
	g.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// useCache is one build: what it found or made is there until it ends.
func useCache(ctx context.Context, dir string, c *clock, key string) error {
	d, err := cache.Open(dir, cache.Options{Now: c.now, Limit: 1500}) //nolint:contextcheck // what killed builds left is removed whatever becomes of this one
	if err != nil {
		return err
	}
	defer d.Close()
	content := strings.Repeat(key, 1000)
	h, _, _ := v1.SHA256(strings.NewReader(content))
	_, _, ok, err := d.Layers(key)
	if err != nil {
		return err
	}
	if !ok {
		if err := d.PutBlob(ctx, func(w io.Writer) (v1.Hash, error) { _, err := io.WriteString(w, content); return h, err }); err != nil {
			return err
		}
		if err := d.PutLayers(key, []v1.Descriptor{{Digest: h, Size: 1000}}, []byte("{}")); err != nil {
			return err
		}
	}
	tree, release, err := d.Tree(ctx, "set", h, func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), []byte(content), 0o600) })
	if err != nil {
		return err
	}
	defer release()
	if _, err := d.Prune(ctx, cache.Policy{Keep: 1500}); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(tree, "f")); err != nil {
		return fmt.Errorf("tree %s: %w", key, err)
	}
	file, ok := d.Blob(h)
	if !ok {
		return fmt.Errorf("blob %s was evicted while it was used", key)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != content {
		return fmt.Errorf("blob %s has %d bytes, error %w", key, len(data), err)
	}
	return nil
}
