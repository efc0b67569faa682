package oci_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kanso-build/kanso/oci"
)

// layered is an image of layers, each of entries whose content is their name.
func layered(t *testing.T, all ...[]tar.Header) v1.Image {
	t.Helper()
	img := empty.Image
	for _, headers := range all {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(h.Name))
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				_, _ = io.WriteString(w, h.Name)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// linkedImage has names of one file, of which one is deleted, an owner and a
// device.
func linkedImage(t *testing.T) v1.Image {
	return layered(t,
		[]tar.Header{
			{Name: "z", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 5, Gid: 6},
			{Name: "b", Typeflag: tar.TypeLink, Linkname: "z", Mode: 0o640, Uid: 5, Gid: 6},
			{Name: "a", Typeflag: tar.TypeLink, Linkname: "z", Mode: 0o640, Uid: 5, Gid: 6},
			{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o500},
			{Name: "dir/gone", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "dir/kept", Typeflag: tar.TypeReg, Mode: 0o4755},
			{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3},
		},
		[]tar.Header{
			{Name: ".wh.z", Typeflag: tar.TypeReg},
			{Name: "dir/.wh.gone", Typeflag: tar.TypeReg},
			{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd", Mode: 0o777},
		},
	)
}

func TestTheFilesOfAnImageAsATar(t *testing.T) {
	var out bytes.Buffer
	done, err := inventoryBuilder(t).Export(t.Context(), oci.Output{Kind: "tar", Path: oci.Stdout}, linkedImage(t), &out)
	if err != nil {
		t.Fatal(err)
	}
	if done.Owned != 2 {
		t.Errorf("%d files of others, want 2", done.Owned)
	}
	var got []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%c %s %04o %d:%d %s%s", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid, h.Linkname, data))
	}
	want := []string{
		"0 a 0640 5:6 z", "1 b 0640 5:6 a", "5 dir/ 0500 0:0 ", "0 dir/kept 4755 0:0 dir/kept", "2 link 0777 0:0 /etc/passwd", "3 null 0666 0:0 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheFilesOfAnImageInADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "dir"), 0o700) })
	b, img := inventoryBuilder(t), linkedImage(t)
	for range 2 { // the second time over the first
		done, err := b.Export(t.Context(), oci.Output{Kind: "local", Path: dir}, img, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"null"}, done.Left); diff != "" || done.Owned != 2 {
			t.Errorf("%d files of others: %s", done.Owned, diff)
		}
	}
	for name, want := range map[string]string{"a": "-rw-r-----", "dir": "dr-x------", "dir/kept": "urwxr-xr-x", "link": "Lrwxrwxrwx"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode().String() != want {
			t.Errorf("%s is %v, %v, want %s", name, info.Mode(), err, want)
		}
	}
	x, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if y, err := os.Stat(filepath.Join(dir, "b")); err != nil || !os.SameFile(x, y) {
		t.Errorf("a and b are two files: %v", err)
	}
	for _, gone := range []string{"z", "dir/gone", "null"} {
		if _, err := os.Lstat(filepath.Join(dir, gone)); err == nil {
			t.Errorf("%s is there", gone)
		}
	}
}
