package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
)

const sitePackages = "usr/lib/python3/site-packages"

// installTree is what an installer left, as a layer: sorted, with all
// directories.
func installTree(dists ...string) []layers.File {
	byPath := map[string]layers.File{}
	add := func(p, content string) {
		byPath[p] = layers.File{Path: p, Mode: 0o644, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}}
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			byPath[dir] = layers.File{Path: dir, Mode: fs.ModeDir | 0o755}
		}
	}
	add("app/requirements.txt", strings.Join(dists, "\n"))
	for _, d := range dists {
		name, _, _ := strings.Cut(d, "-")
		add(path.Join(sitePackages, name, "__init__.py"), d)
		add(path.Join(sitePackages, name, "__pycache__", "__init__.cpython-311.pyc"), "pyc "+d)
		add(path.Join(sitePackages, d+".dist-info", "RECORD"), name+"/__init__.py,,\n")
	}
	var files []layers.File
	for _, f := range byPath {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b layers.File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

func packed(t *testing.T, b *Builder, files []layers.File, max int) []part {
	t.Helper()
	var told []part
	parts, err := b.packDistributions(t.Context(), max, func(w io.Writer) error { return layers.Write(t.Context(), w, all(files)) },
		func(p string) bool { return path.Base(p) == "below" }, func(p part) { told = append(told, p) })
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != len(parts) {
		t.Errorf("ready was told of %d layers out of %d", len(told), len(parts))
	}
	left, err := os.ReadDir(b.Store.Scratch())
	if err != nil || len(left) > 0 {
		t.Errorf("scratch has %v, error %v", left, err)
	}
	return parts
}

func builderOn(t *testing.T) *Builder {
	t.Helper()
	dir, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return &Builder{Store: dir}
}

func TestUnchangedDistributionsAreTheSameLayers(t *testing.T) {
	b := builderOn(t)
	before := packed(t, b, installTree("a-1", "b-1", "c-1"), 40)
	after := packed(t, b, installTree("a-1", "b-1", "c-1", "new-1"), 40)
	same := map[string]bool{}
	for _, p := range before {
		same[p.desc.Digest.String()] = true
	}
	changed := 0
	for _, p := range after {
		if !same[p.desc.Digest.String()] {
			changed++
		}
	}
	if changed != 2 { // that of the new one, and the requirements file
		t.Errorf("%d layers of %d are new, want 2", changed, len(after))
	}
	if one := packed(t, b, installTree("a-1", "b-1"), 1); len(one) != 1 || one[0].name != "" {
		t.Errorf("without room for more there are the layers %v, want one", one)
	}
}

func TestSplitLayersAreTheTreeOfOne(t *testing.T) {
	b := builderOn(t)
	files := installTree("a-1", "b-1", "c-1")
	files = append(files, layers.Whiteout(sitePackages+"/a/gone.py"))
	var lists []layers.Listing
	for _, p := range packed(t, b, files, 40) {
		list, err := b.listing(t.Context(), laid{diffID: p.diffID})
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
		if strings.Contains(fmt.Sprint(list.Entries), "a-1.dist-info") && !slices.Contains(p.unsafe, "a replaces files of the layers below") {
			t.Errorf("the layer of a has the reasons %q", p.unsafe)
		}
	}
	var want layers.Listing
	for _, f := range files[:len(files)-1] {
		want.Entries = append(want.Entries, layers.Entry{Path: f.Path, Mode: f.Mode, Size: f.Size})
	}
	if d := cmp.Diff(tree(want), tree(lists...)); d != "" {
		t.Errorf("tree (-one +split):\n%s", d)
	}
}

// tree is what layers show: paths, modes and sizes.
func tree(lists ...layers.Listing) []string {
	var out []string
	for _, e := range layers.NewView(lists).Below(".") {
		out = append(out, fmt.Sprint(e.Path, " ", e.Mode, " ", e.Size, " ", e.Link))
	}
	return out
}

func TestAnInstallThatFailsLeavesNothing(t *testing.T) {
	b := builderOn(t)
	broken := errors.New("pip failed")
	_, err := b.packDistributions(context.Background(), 40, func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 100))
		return broken
	}, nil, nil)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the installer", err)
	}
	if left, err := os.ReadDir(b.Store.Scratch()); err != nil || len(left) > 0 {
		t.Errorf("scratch has %v, error %v", left, err)
	}
}
