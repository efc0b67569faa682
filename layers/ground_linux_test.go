package layers_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers"
)

// states are mode, time and kept owner of all that is in a tree, and of its root.
func states(t *testing.T, tree string) map[string]string {
	t.Helper()
	got := map[string]string{}
	root := layers.TreeFiles(tree)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var owner [64]byte
		n, err := unix.Lgetxattr(p, "user.containers.override_stat", owner[:])
		if err != nil {
			n = 0
		}
		rel, err := filepath.Rel(root, p)
		got[rel] = info.Mode().String() + " " + info.ModTime().UTC().Format(time.RFC3339) + " " + string(owner[:n])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestALayerOnItsOwnIsWhatItIsOnOthers unpacks layers with and without those
// below them.
func TestALayerOnItsOwnIsWhatItIsOnOthers(t *testing.T) {
	owned := func(p string, mode fs.FileMode, uid int) layers.File {
		return layers.File{Path: p, Mode: fs.ModeDir | mode, UID: uid, GID: 7, Time: time.Unix(5e8, 0)}
	}
	base := tarOf(t, owned(".", 0o751, 3), owned("usr", 0o711, 4), owned("usr/lib", 0o755, 0), owned("opt", 0o1777, 5), symlink("bin", "usr/bin"), text("file", 0o600, "x"), text("usr/own", 0o600, "x"))
	for _, c := range []struct {
		name  string
		files []layers.File
		again bool
	}{
		{"nothing but files", []layers.File{text("a", 0o644, "1")}, false},
		{"a directory that is not named", []layers.File{text("usr/lib/x", 0o644, "1"), text("opt/y/z", 0o644, "2")}, false},
		{"one that is named later", []layers.File{text("usr/lib/x", 0o644, "1"), dir("usr", 0o700)}, false},
		{"one that is named first", []layers.File{dir("usr", 0o700), text("usr/lib/x", 0o644, "1")}, false},
		{"one that becomes a file", []layers.File{text("opt/y/z", 0o644, "2"), text("opt", 0o644, "1")}, false},
		{"one in the place of a file", []layers.File{text("file/x", 0o644, "1")}, false},
		{"deletions", []layers.File{layers.Whiteout("usr/lib"), layers.Opaque("opt")}, false},
		{"a deleted one that is there again", []layers.File{layers.Whiteout("usr"), text("usr/lib/x", 0o644, "1")}, false},
		{"links of its own", []layers.File{symlink("l", "usr"), text("l/lib/x", 0o644, "1")}, false},
		{"the root", []layers.File{dir(".", 0o700), text("usr/x", 0o644, "1")}, false},
		{"through a link below", []layers.File{text("bin/sh", 0o755, "1")}, true},
		{"through a link below, named later", []layers.File{text("bin/sh", 0o755, "1"), dir("bin", 0o755)}, true},
		{"another name of a file below", []layers.File{{Path: "usr/name", HardLink: true, Link: "usr/own"}}, true},
		{"a name that is no text", []layers.File{text("usr/\xff/x", 0o644, "1")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			below := unpack(t, base)
			data := tarOf(t, c.files...)
			want := unpack(t, data, below)
			tree := t.TempDir()
			o := layers.UnpackOptions{Owners: layers.OwnersXattr}
			list, apart, err := layers.UnpackApart(t.Context(), bytes.NewReader(data), tree, o)
			if err == nil {
				o.Below = []string{below}
				err = layers.Ground(tree, apart, o)
			}
			if c.again != errors.Is(err, layers.ErrBelow) || !c.again && err != nil {
				t.Fatalf("error is %v, wanted ErrBelow: %v", err, c.again)
			}
			if c.again {
				return
			}
			if d := cmp.Diff(states(t, want), states(t, tree)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(onDisk(t, want), onDisk(t, tree)); d != "" {
				t.Error(d)
			}
			if whole, err := layers.List(t.Context(), bytes.NewReader(data)); err != nil || !cmp.Equal(whole, list) {
				t.Errorf("lists differ: %s %v", cmp.Diff(whole, list), err)
			}
			if _, err := os.Lstat(layers.TreeTable(tree)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a table of owners: %v", err)
			}
		})
	}
}
