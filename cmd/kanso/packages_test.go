package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kanso-build/kanso/layers/cache"
)

func TestDownloadsLieWhereTheFlagSays(t *testing.T) {
	dir, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	mount := filepath.Join(t.TempDir(), "ci", "packages")
	for _, c := range []struct{ mount, project, other string }{{"", "a", "b"}, {mount, "a", "b"}} {
		place := func(project, manager string) string {
			got, err := packages(c.mount, dir, project)(manager)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(got); err != nil || !info.IsDir() || !filepath.IsAbs(got) {
				t.Errorf("%s is no directory: %v", got, err)
			}
			return got
		}
		if shared := place(c.project, "pip") == place(c.other, "pip"); shared != (c.mount != "") {
			t.Errorf("mount %q: two projects have one directory: %v", c.mount, shared)
		}
		if place(c.project, "pip") == place(c.project, "uv") {
			t.Errorf("mount %q: two package managers have one directory", c.mount)
		}
	}
	if want := filepath.Join(mount, "uv"); !isDirectory(want) {
		t.Errorf("%s is not there", want)
	}
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "")
	if _, err := packages(file, dir, "a")("pip"); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func isDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
