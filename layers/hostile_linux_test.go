package layers_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
)

// The headers that attacks are made of; h.Size is of zeroes, and contents are
// "evil".
func at(typ byte, name, link string) tar.Header {
	return tar.Header{Typeflag: typ, Name: name, Linkname: link, Mode: 0o644}
}

func evil(name string) tar.Header { return at(tar.TypeReg, name, "") }
func folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}
func soft(name, to string) tar.Header { return at(tar.TypeSymlink, name, to) }
func hard(name, to string) tar.Header { return at(tar.TypeLink, name, to) }

func with(h tar.Header, change func(*tar.Header)) tar.Header {
	change(&h)
	return h
}

func raw(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			h.Size = 4
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(append([]byte("evil"), make([]byte, h.Size-4)...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// patched changes bytes of the first header and makes its checksum right again.
func patched(data []byte, change func(h []byte)) []byte {
	data = bytes.Clone(data)
	h := data[:512]
	change(h)
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

// victim is a directory outside of what is unpacked, which must stay as it is.
type victim struct{ dir string }

func newVictim(t *testing.T, root string) victim {
	t.Helper()
	v := victim{filepath.Join(root, "beside")}
	if err := os.Mkdir(v.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.dir, "victim"), []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(v.dir, 0o751); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v victim) check(t *testing.T) {
	t.Helper()
	if d := cmp.Diff([]string{"-rw------- victim as it was"}, filesBelow(t, v.dir)); d != "" {
		t.Errorf("outside (-want +got):\n%s", d)
	}
	if info, err := os.Stat(v.dir); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("outside: %v, %v", info.Mode(), err)
	}
	var st fs.FileInfo
	st, err := os.Stat(filepath.Join(v.dir, "victim"))
	if err != nil || links(st) != 1 {
		t.Errorf("the file outside has another name now: %v", err)
	}
}

// links and rdev are how many names a file has, and which device it is.
func links(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) } // of 32 bits elsewhere
func rdev(info fs.FileInfo) uint64  { return info.Sys().(*syscall.Stat_t).Rdev }

// small bounds what attacks may ask for in these tests.
func small() layers.Limits { return layers.Limits{Entries: 2000, Bytes: 1 << 20, Name: 4096} }

// everything reads a layer in all ways: it is listed, unpacked as a layer and as
// an archive, spooled, split and written again. Nothing outside may change, and
// what is inside is inside. It returns the errors of listing, unpacking and the
// archive.
func everything(t *testing.T, data []byte) (list, unpack, archive error) {
	t.Helper()
	root := t.TempDir()
	t.Cleanup(func() { _ = layers.RemoveAll(root); _ = os.Mkdir(root, 0o700) })
	v := newVictim(t, root)
	data = bytes.ReplaceAll(data, []byte("BESIDE"), []byte("beside"))
	_, list = layers.ListWithin(t.Context(), bytes.NewReader(data), small())
	owners := []layers.Owners{layers.OwnersXattr}
	if os.Geteuid() == 0 {
		owners = append(owners, layers.OwnersReal)
	}
	for i, o := range owners {
		tree := filepath.Join(root, fmt.Sprint("tree", i))
		if err := os.Mkdir(tree, 0o700); err != nil {
			t.Fatal(err)
		}
		_, unpack = layers.Unpack(t.Context(), bytes.NewReader(data), tree, layers.UnpackOptions{Owners: o, Max: small()})
		v.check(t)
		inside(t, tree)
	}
	_, archive = layers.UnpackArchive(t.Context(), bytes.NewReader(data), filepath.Join(root, "archive"))
	v.check(t)
	again(t, data)
	v.check(t)
	var at []string
	entries, err := os.ReadDir(root)
	for _, e := range entries {
		at = append(at, e.Name())
	}
	if err != nil || len(at) > 4 {
		t.Errorf("beside the trees there are %v, %v", at, err)
	}
	return list, unpack, archive
}

// again splits a layer and writes the parts: they can be read.
func again(t *testing.T, data []byte) {
	t.Helper()
	files, err := held(t, io.LimitReader(bytes.NewReader(data), 4<<20))
	if err != nil {
		return
	}
	for _, part := range layers.Split(files, 3, func(p string) int { return len(p) % 3 }) {
		var b bytes.Buffer
		if layers.Write(t.Context(), &b, seq(part...)) != nil {
			continue // it says so
		}
		if _, err := layers.List(t.Context(), &b); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	}
}

// inside checks that a tree has no device that its maker could not have and no
// file of somebody else's.
func inside(t *testing.T, tree string) {
	t.Helper()
	_ = filepath.WalkDir(layers.TreeFiles(tree), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read was closed by the layer itself
		}
		if d.Type()&fs.ModeDevice == 0 {
			return nil
		}
		info, err := d.Info()
		if err == nil && os.Geteuid() != 0 && rdev(info) != 0 {
			t.Errorf("a device at %s", p)
		}
		return nil
	})
}

// pax is a tar of one entry with records of PAX as they are.
func pax(t testing.TB, records string) []byte {
	t.Helper()
	head := patched(raw(t, with(evil("PaxHeaders/a"), func(h *tar.Header) { h.Size = 512 })), func(h []byte) {
		h[156] = 'x'
		copy(h[124:136], fmt.Sprintf("%011o\x00", len(records)))
	})[:512]
	body := append([]byte(records), make([]byte, 512-len(records)%512)...)
	return append(append(head, body...), raw(t, evil("a"))...)
}

// sparse is a tar of an old GNU sparse file that has no data.
func sparse(t testing.TB, size int64) []byte {
	t.Helper()
	return patched(raw(t, at(tar.TypeSymlink, "s", "x")), func(h []byte) {
		h[156] = tar.TypeGNUSparse
		clear(h[157:257])
		copy(h[257:265], "ustar  \x00")
		clear(h[345:500])
		h[483] = 0x80
		for i := range 8 {
			h[483+4+i] = byte(size >> (56 - 8*i))
		}
	})
}
