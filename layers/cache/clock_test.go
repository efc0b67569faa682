package cache_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kanso-build/kanso/layers/cache"
)

// TestAClockThatGoesBack has the clock set back by a day while a build runs: what
// it uses stays, and the limit holds again afterwards.
func TestAClockThatGoesBack(t *testing.T) {
	dir, now := t.TempDir(), time.Now().Add(48*time.Hour)
	o := cache.Options{Now: func() time.Time { now = now.Add(time.Second); return now }}
	open := func(limit int64) *cache.Dir {
		o.Limit = limit
		d, err := cache.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := open(0)
	layer(t, before, "a", 1000)
	layer(t, before, "b", 1000)
	closed(t, before)
	running := open(0)
	now = now.Add(-24 * time.Hour)
	if !has(t, running, "a") {
		t.Fatal("a is not there")
	}
	pruner := open(0)
	if _, err := pruner.Prune(t.Context(), cache.Policy{Keep: 0}); err != nil {
		t.Fatal(err)
	}
	if !has(t, running, "a") {
		t.Error("what a running build uses is gone")
	}
	closed(t, pruner)
	closed(t, running)
	// All entries were used in what is the future now, the size was measured there.
	for _, name := range []string{"c", "d", "e"} {
		d := open(2500)
		layer(t, d, name, 1000)
		closed(t, d)
	}
	d := open(0)
	defer d.Close()
	if size := sizeOf(t, dir); size > 2500 {
		t.Errorf("%d bytes stayed, 2500 may", size)
	}
	if _, err := d.Prune(t.Context(), cache.Policy{Keep: 0}); err != nil {
		t.Fatal(err)
	}
	if size := sizeOf(t, dir); size > 0 {
		t.Errorf("%d bytes stayed though nobody uses them", size)
	}
}

// sizeOf is the size of all blobs.
func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		info, err := os.Stat(b)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}
