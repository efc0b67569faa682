package layers_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
)

// headersTar is a tar of headers; a regular file's content is its name.
func headersTar(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// filesBelow is what is below a directory: mode, path and target or content.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String() + " " + rel
		switch info.Mode().Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text = rel + " -> " + target
		case 0:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		list = append(list, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestArchivesAreUnpacked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	left, err := layers.UnpackArchive(t.Context(), bytes.NewReader(headersTar(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o500},
		tar.Header{Name: "closed/", Typeflag: tar.TypeDir, Mode: 0o555},
		tar.Header{Name: "closed/file", Mode: 0o4755},
		tar.Header{Name: "implied/by/file", Mode: 0o640},
		tar.Header{Name: "twice", Mode: 0o600},
		tar.Header{Name: "twice", Typeflag: tar.TypeSymlink, Linkname: "closed/file"},
		tar.Header{Name: "again", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "again/x", Mode: 0o600},
		tar.Header{Name: "again", Mode: 0o600},
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "/implied/by/file"},
		tar.Header{Name: ".wh.kept", Mode: 0o644},
		tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o644},
		tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o644, Devmajor: 1, Devminor: 3},
	)), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-rw-r--r-- .wh.kept .wh.kept", "-rw------- again again", "dr-xr-xr-x closed", "urwxr-xr-x closed/file closed/file",
		"-rw-r----- hard implied/by/file", "drwxr-xr-x implied", "drwxr-xr-x implied/by", "-rw-r----- implied/by/file implied/by/file",
		"twice -> closed/file",
	}
	if d := cmp.Diff(want, filesBelow(t, dir)); d != "" {
		t.Errorf("unpacked (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"pipe", "null"}, left); d != "" {
		t.Errorf("left out (-want +got):\n%s", d)
	}
	if err := layers.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// TestArchivesWriteNothingOutside has a directory beside the one that is
// unpacked into, which must stay as it is whatever the tar says.
func TestArchivesWriteNothingOutside(t *testing.T) {
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	for name, headers := range map[string][]tar.Header{
		"a name with dots":                  {{Name: "../beside/victim", Mode: 0o644}},
		"an absolute name":                  {{Name: "/beside/victim", Mode: 0o644}},
		"a link above":                      {link("l", "../beside"), {Name: "l/victim", Mode: 0o644}},
		"an absolute link":                  {link("l", "BESIDE"), {Name: "l/victim", Mode: 0o644}},
		"a link to a link":                  {link("a", "../beside"), link("b", "a"), {Name: "b/victim", Mode: 0o644}},
		"a file through a link":             {link("victim", "../beside/victim"), {Name: "victim", Mode: 0o644}},
		"a hard link to a file outside":     {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../beside/victim"}, {Name: "h", Mode: 0o644}},
		"a hard link through a link":        {link("l", "../beside"), {Name: "h", Typeflag: tar.TypeLink, Linkname: "l/victim"}},
		"a directory's mode through a link": {link("l", "../beside"), {Name: "l", Typeflag: tar.TypeDir, Mode: 0}},
		"a directory behind a link":         {link("l", "../beside"), {Name: "l/new/", Typeflag: tar.TypeDir, Mode: 0o755}},
		"a directory that becomes a link":   {{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, link("d", "../beside"), {Name: "d/victim", Mode: 0o644}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			beside := filepath.Join(root, "beside")
			if err := os.Mkdir(beside, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(beside, "victim"), []byte("as it was"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(beside, 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range headers {
				headers[i].Linkname = strings.ReplaceAll(headers[i].Linkname, "BESIDE", beside)
			}
			_, err := layers.UnpackArchive(t.Context(), bytes.NewReader(headersTar(t, headers...)), filepath.Join(root, "x"))
			t.Log(err)
			if d := cmp.Diff([]string{"-rw------- victim as it was"}, filesBelow(t, beside)); d != "" {
				t.Errorf("outside (-want +got):\n%s", d)
			}
			if info, err := os.Stat(beside); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("outside: %v, %v", info.Mode(), err)
			}
		})
	}
}
