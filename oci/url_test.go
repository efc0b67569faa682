package oci_test

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// web is a server of files that remembers what was asked of it.
type web struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string
	asked []string // method, path and status
}

func newWeb(t *testing.T, files map[string]string) *web {
	w := &web{files: files}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		status := http.StatusOK
		data, ok := w.files[r.URL.Path]
		tag := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(data)))
		switch {
		case !ok:
			status = http.StatusNotFound
		case r.Header.Get("If-None-Match") == tag:
			status = http.StatusNotModified
		}
		w.asked = append(w.asked, r.Method+" "+r.URL.Path+" "+http.StatusText(status))
		rw.Header().Set("ETag", tag)
		rw.Header().Set("Last-Modified", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
		rw.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = rw.Write([]byte(data))
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func addURL(u, dest string) plan.Copy {
	return plan.Copy{From: plan.Source{URL: u}, Patterns: []string{"x"}, Dest: dest, Modes: plan.ModesDisk}
}

func TestDownloadsAreSentOnce(t *testing.T) {
	w := newWeb(t, map[string]string{"/d/file.txt": "one"})
	b := builder(t, nil)
	step := addURL(w.URL+"/d/file.txt?query=1", "/x/")
	p := plan.Plan{Stages: []plan.Stage{{Base: oci.Scratch, Steps: []plan.Step{step}}}}
	if reports, err := b.Explain(t.Context(), p); err != nil || !reports[0].Unknown || len(w.asked) != 0 {
		t.Errorf("explained: %+v, %v, asked %q", reports, err, w.asked)
	}
	img := build(t, b, oci.Scratch, step)
	if d := cmp.Diff([][]string{{"drwxr-xr-x x", "-rw------- x/file.txt one"}}, contents(t, img, 0)); d != "" {
		t.Error(d)
	}
	if again := build(t, b, oci.Scratch, step); digest(t, again) != digest(t, img) {
		t.Error("it came out differently")
	}
	w.files["/d/file.txt"] = "two"
	if img = build(t, b, oci.Scratch, step); contents(t, img, 0)[0][1] != "-rw------- x/file.txt two" {
		t.Errorf("got %q", contents(t, img, 0))
	}
	want := []string{"GET /d/file.txt OK", "GET /d/file.txt Not Modified", "GET /d/file.txt OK"}
	if d := cmp.Diff(want, w.asked); d != "" {
		t.Error(d)
	}
}

func TestDownloadsWithAChecksumAreNotAskedForAgain(t *testing.T) {
	w := newWeb(t, map[string]string{"/f": "one"})
	b := builder(t, nil)
	step := addURL(w.URL+"/f", "/f")
	step.From.Checksum = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
	img := build(t, b, oci.Scratch, step)
	build(t, b, oci.Scratch, step)
	if len(w.asked) != 1 {
		t.Errorf("asked %q", w.asked)
	}
	if d := cmp.Diff([][]string{{"-rw------- f one"}}, contents(t, img, 0)); d != "" {
		t.Error(d)
	}
	w.files["/f"] = "changed"
	refused(t, builder(t, nil), oci.Scratch, "digest mismatch", step)
}

func TestHostileServers(t *testing.T) {
	w := newWeb(t, map[string]string{"/f": strings.Repeat("x", 1000), "/new\nline": "x"})
	b := builder(t, nil)
	b.Max = layers.Limits{Bytes: 999}
	refused(t, b, oci.Scratch, "more than 999", addURL(w.URL+"/f", "/f"))
	refused(t, b, oci.Scratch, "Not Found", addURL(w.URL+"/none", "/f"))
	refused(t, b, oci.Scratch, "neither http nor https", addURL("file:///etc/passwd", "/f"))
	secure := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://example.invalid/f", http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	trusting := builder(t, nil)
	trusting.Client.RootCAs = secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	refused(t, trusting, oci.Scratch, "plain HTTP is not allowed with example.invalid", addURL(secure.URL+"/f", "/f"))
	endless := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := rw.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	refused(t, b, oci.Scratch, "more than 999", addURL(endless.URL+"/f", "/f"))
	b.Max = layers.Limits{}
	img := build(t, b, oci.Scratch, addURL(w.URL+"/new%0Aline", "/d/"))
	if d := cmp.Diff([]string{"drwxr-xr-x d", "-rw------- d/download"}, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: oci.Scratch, Steps: []plan.Step{addURL("http://user:hidden@127.0.0.1:1/f", "/f")}}}})
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

func TestArchivesAreUnpackedWhereTheStepSaysSo(t *testing.T) {
	data := archiveOf(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "theirs/f", Uname: "1", Mode: 0o4755, Uid: 8, Gid: 9},
		tar.Header{Typeflag: tar.TypeDir, Name: "theirs/sub", Mode: 0o755, Uid: 8, Gid: 9},
		tar.Header{Typeflag: tar.TypeReg, Name: "twice", Uname: "first"}, tar.Header{Typeflag: tar.TypeLink, Name: "link", Linkname: "twice"},
		tar.Header{Typeflag: tar.TypeReg, Name: "twice", Uname: "second"},
		tar.Header{Typeflag: tar.TypeFifo, Name: "bin/pipe"},
	)
	w := newWeb(t, map[string]string{"/t.tgz": data})
	b := builder(t, map[string]string{"t": data})
	whole := []string{"drwxr-xr-x dst", "drwxr-xr-x dst/bin", "prw------- dst/bin/pipe", "-rw------- dst/link", "drwxr-xr-x dst/theirs",
		"urwxr-xr-x dst/theirs/f 8:9", "drwxr-xr-x dst/theirs/sub 8:9", "-rw------- dst/twice"}
	tests := []struct {
		name string
		step plan.Copy
		want []string
	}{
		{"local", added(t, b, "/dst"), whole},
		{"into what is there", added(t, b, "/"), []string{"-rw------- link", "drwx------ theirs 3:4", "urwxr-xr-x theirs/f 8:9", "drwxr-xr-x theirs/sub 8:9", "-rw------- twice",
			"drwxr-xr-x usr", "drwxr-xr-x usr/bin", "prw------- usr/bin/pipe"}},
		{"a URL", addURL(w.URL+"/t.tgz", "/x/"), []string{"drwxr-xr-x x", "-rw------- x/t.tgz"}},
	}
	local := addURL(w.URL+"/t.tgz", "/x/")
	local.Unpack = plan.UnpackLocal
	tests = append(tests, tests[2])
	tests[3].name, tests[3].step = "a URL, with local ones unpacked", local
	all := addURL(w.URL+"/t.tgz", "/dst")
	all.Unpack = plan.UnpackAll
	tests = append(tests, tests[0])
	tests[4].name, tests[4].step = "a URL, unpacked", all
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, merged(t, build(t, b, image(t), tt.step), 1)); d != "" {
				t.Error(d)
			}
		})
	}
	owned := added(t, b, "/dst")
	owned.Owner = "app:staff"
	img := build(t, b, image(t), owned)
	got := strings.Join(contents(t, img, 1)[0], "\n")
	for _, line := range []string{"drwxr-xr-x dst owned", "urwxr-xr-x dst/theirs/f owned 1", "drwxr-xr-x dst/theirs\n", "dst/link owned first", "dst/twice owned second"} {
		if !strings.Contains(got+"\n", line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

func TestAnArchiveReplacesADirectoryOfTheImage(t *testing.T) {
	b := builder(t, map[string]string{"t": archiveOf(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "theirs", Uname: "1"}, tar.Header{Typeflag: tar.TypeDir, Name: "theirs", Mode: 0o755}, tar.Header{Typeflag: tar.TypeReg, Name: "theirs/f"})})
	img := build(t, b, image(t), added(t, b, "/"))
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var lists []layers.Listing
	for _, l := range ls {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		list, err := layers.List(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
	}
	var got []string
	for _, e := range layers.NewView(lists).Below("/theirs") {
		got = append(got, e.Path)
	}
	if d := cmp.Diff([]string{"theirs/f"}, got); d != "" {
		t.Errorf("what was in the directory shows again: %s", d)
	}
}

func TestRepositoriesAreCheckedOutForTheStep(t *testing.T) {
	b := builder(t, nil)
	step := plan.Copy{From: plan.Source{Git: "https://example.invalid/x.git#v1:dir"}, Patterns: []string{"."}, Dest: "/src", Modes: plan.ModesDisk}
	refused(t, b, oci.Scratch, "no git", step)
	b.Git = func(_ context.Context, source, dir string, keep bool) (string, error) {
		if source != step.From.Git || keep {
			return "", errors.New("asked for something else")
		}
		return "0123abcd", errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o700), os.WriteFile(filepath.Join(dir, "d/run"), []byte("x"), 0o700), os.Symlink("/etc/passwd", filepath.Join(dir, "l")))
	}
	want := []string{"drwxr-xr-x src", "drwxr-xr-x src/d", "-rwxr-xr-x src/d/run", "Lrwxrwxrwx src/l -> /etc/passwd"}
	if d := cmp.Diff(want, merged(t, build(t, b, oci.Scratch, step), 0)); d != "" {
		t.Error(d)
	}
	step.From.Checksum = "0123"
	build(t, b, oci.Scratch, step)
	step.From.Checksum = "9999"
	refused(t, b, oci.Scratch, "the commit is 0123abcd, not 9999", step)
	left, err := fs.Glob(os.DirFS(b.Store.Scratch()), "git-*")
	if err != nil || len(left) != 0 {
		t.Errorf("checkouts were left: %q, %v", left, err)
	}
}
