package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

func packed(t *testing.T, b *Builder, files []layers.File, max int) []made {
	t.Helper()
	ready := 0
	list, err := b.packParts(t.Context(), func(w io.Writer) error {
		parts, err := Distributions(max)(files, func(p string) bool { return path.Base(p) == "below" })
		if err != nil {
			return err
		}
		return layers.WriteParts(t.Context(), w, parts)
	}, nil, func(list []made) { ready = len(list) })
	if err != nil {
		t.Fatal(err)
	}
	if ready != len(list) {
		t.Errorf("ready was told of %d layers out of %d", ready, len(list))
	}
	return list
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
		if strings.Contains(fmt.Sprint(list.Entries), "a-1.dist-info") && !strings.HasSuffix(p.name, ": a") && !strings.Contains(p.name, " a,") {
			t.Errorf("the layer of a is called %q", p.name)
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
	list, err := b.packParts(context.Background(), func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 3))
		return broken
	}, nil, func([]made) {})
	if !errors.Is(err, broken) || err.Error() != broken.Error() {
		t.Errorf("error %v, %d layers, want that of the installer alone", err, len(list))
	}
	if _, err := b.packParts(t.Context(), func(w io.Writer) error { return layers.WriteParts(t.Context(), w, nil) }, nil, func([]made) {}); err == nil {
		t.Error("an install without a layer is no error")
	}
}

func TestNamesOfLayersAreBounded(t *testing.T) {
	var dists []string
	for i := range 400 {
		dists = append(dists, fmt.Sprintf("distribution%03d-1", i))
	}
	parts, err := Distributions(40)(installTree(dists...), func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if len(p.Name) > maxNames+len(" and 400 more") {
			t.Errorf("the name %q has %d bytes", p.Name, len(p.Name))
		}
		if text := createdBy("INSTALL (all) x", p.Name); nameIn(text) != p.Name {
			t.Errorf("of %q the name is read as %q", text, nameIn(text))
		}
	}
	if parts[0].Name == "" || !strings.Contains(parts[0].Name, "more") {
		t.Errorf("the first layer is called %q", parts[0].Name)
	}
}
