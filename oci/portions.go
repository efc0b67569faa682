package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers/python"
	"github.com/kanso-build/kanso/resolve/plan"
)

// Files that a step copies stand in several layers, so that a change sends
// little more than what changed: big files first, code last. Which file stands in
// which depends on the files' sizes and paths and on nothing that was built
// before.
const (
	// bigFile and smallFile bound, in bytes, what is no code and no data.
	bigFile   = 4 << 20
	smallFile = 64 << 10
	// portionSize is what a layer of files that are not big should hold.
	portionSize = 1 << 20
	// aloneFiles is how many of the big files have a layer of their own.
	aloneFiles = 16
	// maxBuckets is how many layers the files of one kind are spread over.
	maxBuckets = 16
	// maxLayers is how many layers an image may have with those of a copy and one
	// for every step; some engines take 127.
	maxLayers = 110
)

// A portion is what of a step stands in one layer.
type portion struct {
	name string // "" for what is left
	set  entries
}

// filesLayers puts known files on top of the state, in as many layers as is good
// for them. w.adopts is of the last one, with what the image had before.
func (b *Builder) filesLayers(ctx context.Context, st *state, w work, set entries) error {
	works, err := b.filesWorks(st, w, set)
	if err != nil {
		return err
	}
	for i := range works {
		works[i].make = st.course.early(works[i])
	}
	end := b.makeBeside(ctx, st, works)
	defer end()
	for _, w := range works {
		if err := b.layer(ctx, st, w); err != nil {
			return err
		}
	}
	return nil
}

// filesWorks are the works for such layers.
func (b *Builder) filesWorks(st *state, w work, set entries) ([]work, error) {
	var works []work
	for _, p := range portions(set, st.roomForFiles()) {
		of := w
		if p.name != "" {
			of.step, of.adopts = w.step+" ("+p.name+")", false
		}
		if len(p.set) == 0 {
			continue
		}
		of, err := b.filesWork(of, p.set.sorted())
		if err != nil {
			return nil, err
		}
		works = append(works, of)
	}
	return works, nil
}

// roomForFiles is how many layers the files of a step may have: what is left of
// the image's, without those that an Install after it should be able to have, but
// half of them at least. It depends on the base and the steps alone.
func (st *state) roomForFiles() int {
	left := maxLayers - len(st.layers) - st.course.steps()
	if st.stage == nil || !slices.ContainsFunc(st.stage.Steps[min(st.at+1, len(st.stage.Steps)):], func(s plan.Step) bool { return s.Kind() == plan.Install{}.Kind() }) {
		return left
	}
	return left - min(python.MaxLayers-st.split, left/2)
}

// sideBySide is how many layers of one step are made at once, at most; each takes some
// megabytes.
const sideBySide = 4

// makeBeside looks layers of files up and makes those that are not there, several
// at once, before they are asked for. What is under way is given up at end.
func (b *Builder) makeBeside(ctx context.Context, st *state, works []work) (end func()) {
	if st.dry || len(works) < 2 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var todo []func()
	for i := range works {
		w := &works[i]
		found, err := b.find(ctx, st, *w)
		if err != nil {
			continue // who asks for it finds the same
		}
		w.found = &found
		if len(found.list) > 0 {
			continue
		}
		make, done := w.make, make(chan struct{})
		var list []made
		todo = append(todo, func() {
			defer close(done)
			list, err = make(ctx)
		})
		w.make = func(ctx context.Context) ([]made, error) {
			select {
			case <-done:
				return list, err
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
	if len(todo) > 0 {
		b.Ahead.Ask(ctx)
	}
	var all sync.WaitGroup
	all.Go(func() {
		var g errgroup.Group
		g.SetLimit(min(sideBySide, runtime.GOMAXPROCS(0)))
		for _, do := range todo {
			g.Go(func() error { do(); return nil })
		}
		_ = g.Wait() // each has its own error
	})
	return func() { cancel(); all.Wait() }
}

// portions divides the files of a step into at most max layers.
func portions(set entries, max int) []portion {
	whole := []portion{{"", set}}
	var big, middle, small []entry
	for _, e := range set.sorted() {
		switch {
		case e.opaque || e.HardLink:
			return whole // they must stand in one layer with what they are about
		case !e.Mode.IsRegular() || e.adopted:
		case e.Size >= bigFile:
			big = append(big, e)
		case e.Size >= smallFile:
			middle = append(middle, e)
		default:
			small = append(small, e)
		}
	}
	alone, most := min(aloneFiles, max/4), maxBuckets
	for alone+3*most >= max && most > 1 {
		most /= 2
	}
	if max < 8 || len(big)+len(middle) == 0 && buckets(small, most) == 1 {
		return whole
	}
	var out []portion
	slices.SortStableFunc(big, func(a, b entry) int { return cmp.Compare(b.Size, a.Size) })
	first := big[:min(len(big), alone)]
	slices.SortFunc(first, func(a, b entry) int { return cmp.Compare(a.Path, b.Path) })
	for _, e := range first {
		out = append(out, portion{"/" + e.Path, entries{e.Path: e}})
	}
	out = append(out, spread("big files", big[len(first):], most)...)
	out = append(out, spread("data", middle, most)...)
	rest := maps.Clone(set)
	if buckets(small, most) > 1 {
		out = append(out, spread("code", small, most)...)
	}
	for i, p := range out {
		for name := range p.set {
			delete(rest, name)
		}
		out[i].set = set.withParents(p.set)
	}
	if len(rest) == 0 {
		return out
	}
	return append(out, portion{"", rest})
}

// buckets is over how many layers files are spread: a power of two, so that it
// seldom changes.
func buckets(files []entry, most int) int {
	total, n := int64(0), 1
	for _, e := range files {
		total += e.Size
	}
	for int64(n)*portionSize < total && n < most {
		n *= 2
	}
	return n
}

// spread divides files by a hash of their paths.
func spread(name string, files []entry, most int) []portion {
	n := buckets(files, most)
	sets := make([]entries, n)
	for _, e := range files {
		sum := sha256.Sum256([]byte(e.Path))
		i := int(binary.BigEndian.Uint32(sum[:4]) % uint32(n)) //nolint:gosec // at most maxBuckets
		if sets[i] == nil {
			sets[i] = entries{}
		}
		sets[i][e.Path] = e
	}
	var out []portion
	for i, set := range sets {
		label := name
		if n > 1 {
			label = fmt.Sprintf("%s %d of %d", name, i+1, n)
		}
		if len(set) > 0 {
			out = append(out, portion{label, set})
		}
	}
	return out
}

// withParents adds the directories above what is in a part of the set, as they
// are in the whole.
func (s entries) withParents(part entries) entries {
	out := maps.Clone(part)
	for name := range part {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if e, ok := s[dir]; ok && e.Mode&fs.ModeDir != 0 {
				out[dir] = e
			}
		}
	}
	return out
}
