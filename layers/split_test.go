package layers_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kanso-build/kanso/layers"
)

func hardlink(p, to string) layers.File {
	return layers.File{Path: p, HardLink: true, Link: to, Mode: 0o644, Time: time.Unix(1e9, 0)}
}

func TestSplit(t *testing.T) {
	files := []layers.File{
		dir("a", 0o700), dir("a/b", 0o750), text("a/b/1", 0o644, "one"), text("a/b/2", 0o644, "two"), dir("a/empty2", 0o711),
		layers.Whiteout("a/gone2"), dir("o", 0o755), layers.Opaque("o"), text("o/2", 0o644, "two"), text("o/1", 0o644, "one"),
		text("x/2", 0o644, "linked"), hardlink("x/1", "x/2"), hardlink("x/3", "x/1"),
	}
	var got []string
	for i, part := range layers.Split(files, 5, func(p string) int { return int(p[len(p)-1] - '0') }) {
		for _, f := range part {
			got = append(got, fmt.Sprintf("%d %s %s", i, f.Mode, f.Path))
		}
	}
	want := []string{
		"1 drwx------ a", "1 drwxr-x--- a/b", "1 -rw-r--r-- a/b/1", "1 drwxr-xr-x o", "1 ---------- o/.wh..wh..opq", "1 -rw-r--r-- o/1",
		"1 -rw-r--r-- x/2", "1 -rw-r--r-- x/1", "1 -rw-r--r-- x/3",
		"2 drwx------ a", "2 drwxr-x--- a/b", "2 -rw-r--r-- a/b/2", "2 drwx--x--x a/empty2", "2 ---------- a/.wh.gone2",
		"2 drwxr-xr-x o", "2 -rw-r--r-- o/2",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Split (-want +got):\n%s", d)
	}
}

// TestSplitIsTheSameTree builds layers at random, on a base, and splits them at
// random: the tree is that of the one layer.
func TestSplitIsTheSameTree(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		base := randomLayer(r, false)
		whole := randomLayer(r, true)
		n := 1 + r.IntN(6)
		lists := []layers.Listing{listOf(t, base...)}
		for _, part := range layers.Split(whole, n, func(p string) int {
			h := fnv.New32()
			fmt.Fprint(h, seed, p)
			return int(h.Sum32()) % n
		}) {
			lists = append(lists, listOf(t, part...))
		}
		want := layers.NewView([]layers.Listing{lists[0], listOf(t, whole...)}).Below(".")
		got := layers.NewView(lists).Below(".")
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(layers.Entry{}, "List", "From", "Inode")); d != "" {
			t.Fatalf("seed %d, %d layers (-one +split):\n%s", seed, n, d)
		}
	}
}

// randomLayer is a layer as Capture writes one: sorted, with all directories.
func randomLayer(r *rand.Rand, marks bool) []layers.File {
	byPath := map[string]layers.File{}
	names := []string{"a", "b", "c", "d"}
	first := ""
	for range 30 {
		p := ""
		for depth := 1 + r.IntN(4); depth > 0; depth-- {
			p = strings.TrimPrefix(p+"/"+names[r.IntN(len(names))], "/")
			if f, ok := byPath[p]; ok && !f.Mode.IsDir() {
				break
			}
			if depth > 1 {
				byPath[p] = dir(p, 0o755)
			}
		}
		if _, ok := byPath[p]; ok {
			continue
		}
		switch r.IntN(6) {
		case 0:
			byPath[p] = dir(p, 0o700)
		case 1:
			if first != "" && first < p {
				byPath[p] = hardlink(p, first)
			}
		default:
			byPath[p] = text(p, 0o644, p)
			if first == "" || p < first {
				first = p
			}
		}
	}
	var files []layers.File
	for p, f := range byPath {
		switch {
		case f.HardLink && byPath[f.Link].HardLink:
			f = text(p, 0o644, p)
		case f.Mode.IsDir() && marks && r.IntN(4) == 0:
			files = append(files, layers.Opaque(p))
		case f.Mode.IsDir() && marks && r.IntN(3) == 0:
			if _, ok := byPath[p+"/x"]; !ok {
				files = append(files, layers.Whiteout(p+"/x"), layers.Whiteout(p+"/e"))
			}
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b layers.File) int { return strings.Compare(a.Path, b.Path) })
	return files
}
