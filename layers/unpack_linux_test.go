package layers_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
)

// unpack unpacks files on trees and returns the new tree.
func unpack(t *testing.T, data []byte, below ...string) string {
	t.Helper()
	tree := t.TempDir()
	t.Cleanup(func() { // so that an ordinary user can remove it
		_ = filepath.WalkDir(tree, func(p string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return nil
		})
	})
	if _, err := layers.Unpack(t.Context(), bytes.NewReader(data), tree, layers.UnpackOptions{Owners: layers.OwnersXattr, Below: below}); err != nil {
		t.Fatal(err)
	}
	return tree
}

// onDisk describes the files of a tree.
func onDisk(t *testing.T, tree string) map[string]string {
	t.Helper()
	got := map[string]string{}
	root := layers.TreeFiles(tree)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += " " + to
		}
		rel, err := filepath.Rel(root, p)
		got[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUnpackKeepsTypesModesTimesAndOwners(t *testing.T) {
	tree := unpack(t, tarOf(t,
		dir("d", 0o555), text("d/f", 0o4755&0o777|fs.ModeSetuid, "x"),
		layers.File{Path: "d/g", HardLink: true, Link: "d/f"},
		symlink("l", "/d/f"), layers.File{Path: "p", Mode: fs.ModeNamedPipe | 0o622, UID: 3},
		layers.File{Path: "o", Mode: 0o640, UID: 0, GID: 42, Time: time.Unix(5, 0)},
		layers.Whiteout("gone"),
	))
	want := map[string]string{
		"d": "dr-xr-xr-x", "d/f": "urwxr-xr-x x", "d/g": "urwxr-xr-x x", "l": "Lrwxrwxrwx /d/f", "p": "prw--w--w-", "o": "-rw-r----- ", "gone": "Dc---------",
	}
	if d := cmp.Diff(want, onDisk(t, tree)); d != "" {
		t.Error(d)
	}
	info, err := os.Stat(filepath.Join(layers.TreeFiles(tree), "d"))
	if err != nil || !info.ModTime().Equal(time.Unix(1e9, 0)) {
		t.Errorf("time of d is %v, %v", info.ModTime(), err)
	}
	table, err := layers.ReadOwnerTable(layers.TreeTable(tree))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(layers.OwnerTable{"p": {UID: 3}}, table); d != "" {
		t.Error(d)
	}
}

func TestUnpackTakesImpliedDirectoriesFromBelow(t *testing.T) {
	base := unpack(t, tarOf(t, symlink("lib", "usr/lib"), dir("usr", 0o755), dir("usr/lib", 0o711), symlink("esc", "/../../usr")))
	tree := unpack(t, tarOf(t, text("lib/x", 0o644, "1"), text("esc/y", 0o644, "2"), text("new/z", 0o644, "3")), base)
	want := map[string]string{
		"usr": "drwxr-xr-x", "usr/lib": "drwx--x--x", "usr/lib/x": "-rw-r--r-- 1", "usr/y": "-rw-r--r-- 2", "new": "drwxr-xr-x", "new/z": "-rw-r--r-- 3",
	}
	if d := cmp.Diff(want, onDisk(t, tree)); d != "" {
		t.Error(d)
	}
}

func TestUnpackNeverLeavesItsDirectory(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	put := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Name: "../../../up", Typeflag: tar.TypeReg}, "a")
	put(tar.Header{Name: "/abs", Typeflag: tar.TypeReg}, "b")
	put(tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: outside}, "")
	put(tar.Header{Name: "link/f", Typeflag: tar.TypeReg}, "through a link")
	put(tar.Header{Name: "rel", Typeflag: tar.TypeSymlink, Linkname: "../../../../../../../.." + outside}, "")
	put(tar.Header{Name: "rel/f", Typeflag: tar.TypeReg}, "through a relative link")
	put(tar.Header{Name: "flink", Typeflag: tar.TypeSymlink, Linkname: outside + "/f"}, "")
	put(tar.Header{Name: "flink", Typeflag: tar.TypeReg}, "over a link")
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	tree := unpack(t, buf.Bytes())
	got := onDisk(t, tree)
	for p, want := range map[string]string{"up": "-rw-r--r-- a", "abs": "-rw-r--r-- b", "flink": "-rw-r--r-- over a link"} {
		if got[p] != want {
			t.Errorf("%s is %q, want %q", p, got[p], want)
		}
	}
	data, err := os.ReadFile(filepath.Join(outside, "f"))
	if err != nil || string(data) != "mine" {
		t.Errorf("the file outside holds %q, %v", data, err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside there are %v, %v", entries, err)
	}
}

func TestUnpackRefusesLinksToWhatIsNotThere(t *testing.T) {
	for name, link := range map[string]string{"a file of the machine": "../../../../etc/hostname", "nothing": "x"} {
		data := tarOf(t, layers.File{Path: "l", HardLink: true, Link: link})
		_, err := layers.Unpack(t.Context(), bytes.NewReader(data), t.TempDir(), layers.UnpackOptions{Owners: layers.OwnersXattr})
		if err == nil {
			t.Errorf("a hard link to %s was made", name)
		}
	}
}

func TestLaterEntriesReplaceEarlierOnes(t *testing.T) {
	tree := unpack(t, tarOf(t,
		dir("d", 0o755), text("d/x", 0o644, "1"), text("d", 0o600, "now a file"),
		text("f", 0o644, "1"), dir("f", 0o700), text("f/y", 0o644, "2"),
		text("twice", 0o644, "1"), text("twice", 0o600, "2"),
	))
	want := map[string]string{"d": "-rw------- now a file", "f": "drwx------", "f/y": "-rw-r--r-- 2", "twice": "-rw------- 2"}
	if d := cmp.Diff(want, onDisk(t, tree)); d != "" {
		t.Error(d)
	}
}

func TestADirectoryInThePlaceOfADeletedOneHidesIt(t *testing.T) {
	base := unpack(t, tarOf(t, dir("a", 0o755), text("a/old", 0o644, ""), dir("b", 0o755), text("b/old", 0o644, ""), dir("c", 0o755), text("c/old", 0o644, "")))
	tree := unpack(t, tarOf(t,
		layers.Whiteout("a"), dir("a", 0o755), text("a/new", 0o644, ""),
		dir("b", 0o755), text("b/new", 0o644, ""), layers.Whiteout("b"),
		layers.Whiteout("c"), text("c/new", 0o644, ""),
	), base)
	merged := filepath.Join(t.TempDir(), "m")
	if err := os.Mkdir(merged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := layers.Merge(t.Context(), []string{layers.TreeFiles(tree), layers.TreeFiles(base)}, merged, layers.OwnersXattr); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(merged, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(merged, p)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a/new", "b/new", "c/new"}, got); d != "" {
		t.Error(d)
	}
}

func TestUnpackHasLimits(t *testing.T) {
	data := tarOf(t, text("a", 0o644, "12345"), text("b", 0o644, "12345"))
	for name, limits := range map[string]layers.Limits{"entries": {Entries: 1}, "bytes": {Bytes: 9}} {
		o := layers.UnpackOptions{Owners: layers.OwnersXattr, Max: limits}
		if _, err := layers.Unpack(t.Context(), bytes.NewReader(data), t.TempDir(), o); err == nil {
			t.Errorf("more %s than allowed were unpacked", name)
		}
	}
}
