package oci

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers"
)

// maxDifferences is how many differences of one layer are named.
const maxDifferences = 100

// entries compares what two layers hold.
func (c *comparison) entries(where string, a, b layers.Listing) {
	have, want := byPath(a), byPath(b)
	names := map[string]bool{}
	for p := range have {
		names[p] = true
	}
	for p := range want {
		names[p] = true
	}
	n := 0
	for _, p := range slices.Sorted(maps.Keys(names)) {
		x, inA := have[p]
		y, inB := want[p]
		var what []string
		switch {
		case !inB:
			what = []string{"is not in the image built again"}
		case !inA:
			what = []string{"is missing, and in the image built again"}
		default:
			what = entryDifferences(x, y)
		}
		if len(what) == 0 {
			continue
		}
		if n++; n <= maxDifferences {
			c.add(where, "/"+strings.TrimPrefix(p, "./"), "%s", strings.Join(what, "; "))
		}
	}
	if n > maxDifferences {
		c.add(where, "", "and %d more files", n-maxDifferences)
	}
}

// byPath are the entries by path; deletions have names of their own. Of several
// with one path the last counts, as when the layer is unpacked.
func byPath(l layers.Listing) map[string]layers.Entry {
	out := make(map[string]layers.Entry, len(l.Entries))
	for _, e := range l.Entries {
		switch {
		case e.Whiteout:
			out[e.Path+" (deleted)"] = e
		case e.Opaque:
			out[e.Path+" (emptied)"] = e
		default:
			out[e.Path] = e
		}
	}
	return out
}

// entryDifferences says in what two entries with one path differ.
func entryDifferences(a, b layers.Entry) []string {
	var what []string
	add := func(name string, x, y any) {
		if x, y := fmt.Sprint(x), fmt.Sprint(y); x != y {
			what = append(what, fmt.Sprintf("%s is %s, built again %s", name, x, y))
		}
	}
	add("type", kindOfEntry(a), kindOfEntry(b))
	if a.Mode.IsRegular() && b.Mode.IsRegular() && a.Sum != b.Sum {
		add("content", "sha256:"+a.Sum, "sha256:"+b.Sum)
		add("size", a.Size, b.Size)
	}
	add("link", fmt.Sprintf("%q", a.Link), fmt.Sprintf("%q", b.Link))
	add("mode", bits(a.Mode), bits(b.Mode))
	add("owner", fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
	add("time", a.Time, b.Time)
	add("device", fmt.Sprintf("%d,%d", a.Major, a.Minor), fmt.Sprintf("%d,%d", b.Major, b.Minor))
	for _, name := range slices.Sorted(maps.Keys(a.Xattrs)) {
		add("attribute "+name, fmt.Sprintf("%x", a.Xattrs[name]), fmt.Sprintf("%x", b.Xattrs[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Xattrs)) {
		if _, ok := a.Xattrs[name]; !ok {
			add("attribute "+name, "missing", fmt.Sprintf("%x", b.Xattrs[name]))
		}
	}
	return what
}

// bits is a mode without the type, as chmod takes it.
func bits(m fs.FileMode) string {
	n := m.Perm()
	for flag, bit := range map[fs.FileMode]fs.FileMode{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			n |= bit
		}
	}
	return fmt.Sprintf("%#o", uint32(n))
}

func kindOfEntry(e layers.Entry) string {
	if e.HardLink {
		return "hard link"
	}
	if e.Mode.IsRegular() {
		return "file"
	}
	return strings.TrimRight(e.Mode.Type().String(), "-")
}
