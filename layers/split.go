package layers

import (
	"path"
	"slices"
	"strings"
)

// Split divides the files of one layer among n, of which some may stay empty:
// group says for a path, also one that is deleted, which it goes into. Put on
// one another in their order they are the same as the one layer. In each the
// order is that of files.
//
// Directories are in every layer that has something below them. All names of
// one file are in one layer, the first of those that they would go into; so is
// what makes a directory opaque, since it would hide what lower ones have in
// it.
func Split(files []File, n int, group func(p string) int) [][]File {
	s := &splitter{files: files, group: group, of: make([]int, len(files)), at: make(map[string]int, len(files)), lowest: map[string]int{}}
	for i, f := range files {
		s.at[f.Path] = i
	}
	s.assign()
	s.markers()
	out := make([][]File, n)
	for g := range out {
		out[g] = s.layer(g)
	}
	return out
}

type splitter struct {
	files  []File
	group  func(string) int
	of     []int // by number of the file; [everywhere] for directories with something in them
	at     map[string]int
	lowest map[string]int // of what is below a directory
}

// The groups of entries that have none of their own.
const (
	everywhere = -1 - iota
	undecided
)

// assign gives groups to all that do not depend on others, and to links.
func (s *splitter) assign() {
	full := map[string]bool{}
	for _, f := range s.files {
		full[path.Dir(f.Path)] = true
	}
	for i, f := range s.files {
		deleted, opaque := Deletes(f.Path)
		switch {
		case opaque:
			s.of[i] = undecided
		case f.Mode.IsDir() && full[f.Path]:
			s.of[i] = everywhere
		case deleted != "":
			s.of[i] = s.group(deleted)
		default:
			s.of[i] = s.group(f.Path)
		}
	}
	first := func(i int) int {
		for s.files[i].HardLink {
			next, ok := s.at[s.files[i].Link]
			if !ok || next >= i {
				break
			}
			i = next
		}
		return i
	}
	for i, f := range s.files {
		if f.HardLink {
			to := first(i)
			s.of[to] = min(s.of[to], s.of[i])
		}
	}
	for i, f := range s.files {
		if f.HardLink {
			s.of[i] = s.of[first(i)]
		}
	}
}

// markers puts what makes directories opaque below all that is in them, which
// is known once those further down are in place.
func (s *splitter) markers() {
	var opaque []int
	for i := range s.files {
		if s.of[i] == undecided {
			opaque = append(opaque, i)
		} else if s.of[i] != everywhere {
			s.sink(i)
		}
	}
	depth := func(i int) int { return strings.Count(s.files[i].Path, "/") }
	slices.SortStableFunc(opaque, func(a, b int) int { return depth(b) - depth(a) })
	for _, i := range opaque {
		dir := path.Dir(s.files[i].Path)
		g, ok := s.lowest[dir]
		if !ok {
			g = s.group(dir)
		}
		s.of[i] = g
		s.sink(i)
	}
}

// sink notes the group of an entry for the directories above it.
func (s *splitter) sink(i int) {
	for dir := path.Dir(s.files[i].Path); ; dir = path.Dir(dir) {
		if was, ok := s.lowest[dir]; ok && was <= s.of[i] {
			return
		}
		s.lowest[dir] = s.of[i]
		if dir == "." {
			return
		}
	}
}

// layer is one of the layers.
func (s *splitter) layer(g int) []File {
	needed := map[string]bool{}
	n := 0
	for i, f := range s.files {
		if s.of[i] != g {
			continue
		}
		n++
		for dir := path.Dir(f.Path); !needed[dir]; dir = path.Dir(dir) {
			needed[dir] = true
		}
	}
	if n == 0 {
		return nil
	}
	var out []File
	for i, f := range s.files {
		if s.of[i] == g || s.of[i] == everywhere && needed[f.Path] {
			out = append(out, f)
		}
	}
	return out
}

// Deletes reads the path of an entry as layers have it: the path that a
// whiteout deletes, or whether it makes the directory that it is in opaque.
func Deletes(p string) (deleted string, opaque bool) {
	dir, name := path.Split(p)
	if name == opaqueName {
		return "", true
	}
	if name, ok := strings.CutPrefix(name, whiteoutPrefix); ok {
		return dir + name, false
	}
	return "", false
}
