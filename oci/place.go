package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/moby/patternmatcher"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// copyMatches makes the layers of COPY and ADD: what patterns match in a source
// is put where a file system would have it put by BuildKit's copy, one match
// after the other.
func (b *Builder) copyMatches(ctx context.Context, st *state, c plan.Copy) error {
	src, err := b.source(ctx, st, c)
	if errors.Is(err, errUnknown) {
		st.unknown(c)
		return nil
	}
	if err != nil {
		return err
	}
	defer src.close()
	t, err := b.target(ctx, st, c)
	if err != nil {
		return err
	}
	p, err := newPlacer(c, src, t)
	if err != nil {
		return err
	}
	defer p.spool.close()
	if err := p.all(ctx); err != nil {
		return err
	}
	set, err := t.finish(ctx)
	if err != nil {
		return err
	}
	b.noteCopied(st, c, set)
	return b.filesLayers(ctx, st, work{step: c.String(), kind: c.Kind()}, set)
}

// placer carries out one Copy step with patterns.
type placer struct {
	c       plan.Copy
	src     *source
	t       *target
	chmod   chmod
	exclude *patternmatcher.PatternMatcher // nil excludes nothing
	spool   *spool                         // of archives that are unpacked
}

func newPlacer(c plan.Copy, src *source, t *target) (*placer, error) {
	p := &placer{c: c, src: src, t: t, spool: &spool{dir: t.b.Store.Scratch()}}
	var err error
	if p.chmod, err = parseChmod(c.Chmod); err != nil {
		return nil, err
	}
	t.parents = p.chmod.parents()
	if len(c.Exclude) > 0 {
		if p.exclude, err = patternmatcher.New(c.Exclude); err != nil {
			return nil, fmt.Errorf("exclude %q: %w", c.Exclude, err)
		}
	}
	return p, nil
}

// all copies everything that the step names.
func (p *placer) all(ctx context.Context) error {
	if p.src.single != nil {
		for _, name := range p.src.single {
			if err := p.thing(ctx, name, nil); err != nil {
				return err
			}
		}
		return nil
	}
	for _, pattern := range p.c.Patterns {
		if err := p.pattern(ctx, pattern); err != nil {
			return err
		}
	}
	return nil
}

// pattern copies what one pattern matches.
func (p *placer) pattern(ctx context.Context, pattern string) error {
	if p.c.Parents {
		return p.withParents(ctx, pattern)
	}
	matches, err := p.src.matches(pattern)
	if err != nil {
		return err
	}
	for _, m := range matches {
		if err := p.thing(ctx, m, nil); err != nil {
			return err
		}
	}
	return nil
}

// withParents copies what a pattern matches below the part of it that ends in
// "/./", or the root, together with the directories on the way.
func (p *placer) withParents(ctx context.Context, pattern string) error {
	above, below, ok := strings.Cut(pattern, "/./")
	if !ok {
		above, below = "/", pattern
	}
	below = strings.TrimPrefix(path.Clean("/"+below), "/")
	m, err := patternmatcher.New([]string{below})
	if err != nil {
		return fmt.Errorf("pattern %q: %w", pattern, err)
	}
	only := &selection{m: m, want: below, found: hasWildcards(above) || hasWildcards(below)}
	roots, err := p.src.matches(above)
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := p.thing(ctx, root, only); err != nil {
			return err
		}
	}
	if !only.found {
		return fmt.Errorf("%q: %w", path.Join("/", above, below), errMissing)
	}
	return nil
}

// errMissing is wrapped by the error for a source that is not there.
var errMissing = errors.New("not found")

// selection is what of a directory is copied.
type selection struct {
	m     *patternmatcher.PatternMatcher
	want  string // what a path that has to be among it begins with
	found bool   // there was one, or there need not be
}

// thing copies one thing of the source: of a directory the contents.
func (p *placer) thing(ctx context.Context, name string, only *selection) error {
	name = path.Clean("/" + name)
	e, err := p.src.at(name)
	if err != nil {
		return err
	}
	if done, err := p.unpack(ctx, e, p.spool); done || err != nil {
		return err
	}
	dest, err := p.dest()
	if err != nil {
		return err
	}
	there, exists := p.t.view.Lstat(dest)
	if e.Mode.IsDir() && p.src.single == nil && !exists {
		if err := p.t.mkdirAll(dest, p.t.parents); err != nil {
			return err
		}
	} else {
		if !e.Mode.IsDir() && exists && there.Mode.IsDir() {
			dest = path.Join(dest, path.Base(name))
		}
		if err := p.t.mkdirAll(path.Dir(dest), p.t.parents); err != nil {
			return err
		}
	}
	w := &walk{p: p, only: only, links: map[int]int{}}
	return w.copy(ctx, e, "", dest, matched{}, false)
}

// dest makes the directory that Dest says there is, and returns where Dest
// lies once links are followed.
func (p *placer) dest() (string, error) {
	dest := p.c.Dest
	dir := dest
	if d, f := path.Split(dest); f != "" && f != "." {
		dir = d
	}
	at, err := p.t.view.Resolve(dir)
	if err != nil {
		return "", err
	}
	if err := p.t.mkdirAll(at, p.t.parents); err != nil {
		return "", err
	}
	return p.t.view.Resolve(path.Clean("/" + dest))
}

// matched is what patterns said of a directory, for what is in it.
type matched struct{ include, exclude patternmatcher.MatchInfo }

// walk copies one thing with what is in it.
type walk struct {
	p       *placer
	only    *selection
	links   map[int]int // files with several names: number in the source → in the target
	pending []pendingDir
}

// pendingDir is a directory on the way, made when something in it is copied.
type pendingDir struct {
	e    layers.Entry
	dest string
	made bool
}

// copy copies a file, or a directory with what is in it. rel is its path below
// what is copied, empty for that itself; nested says whether a directory that is
// there takes the mode and owner of the source.
func (w *walk) copy(ctx context.Context, e layers.Entry, rel, dest string, above matched, nested bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	include, excluded, here, err := w.selects(rel, above)
	if err != nil {
		return err
	}
	if !include && !e.Mode.IsDir() {
		return nil
	}
	if include {
		if err := w.makePending(nested); err != nil {
			return err
		}
		w.only.saw(rel)
	}
	if !e.Mode.IsDir() {
		return w.file(e, dest)
	}
	if include {
		if err := w.directory(e, dest, nested); err != nil {
			return err
		}
	}
	w.pending = append(w.pending, pendingDir{e, dest, include})
	defer func() { w.pending = w.pending[:len(w.pending)-1] }()
	if excluded && !w.p.exclude.Exclusions() {
		return nil
	}
	for _, c := range w.p.src.view.ReadDir(e.Path) {
		name := path.Base(c.Path)
		if err := w.copy(ctx, c, path.Join(rel, name), path.Join(dest, name), here, true); err != nil {
			return err
		}
	}
	return nil
}

// selects says whether a path is copied. What is in an excluded directory may
// be.
func (w *walk) selects(rel string, above matched) (include, excluded bool, here matched, err error) {
	if rel == "" {
		return true, false, here, nil
	}
	include = true
	if w.only != nil {
		if include, here.include, err = w.only.m.MatchesUsingParentResults(rel, above.include); err != nil {
			return false, false, here, err
		}
	}
	if w.p.exclude != nil {
		if excluded, here.exclude, err = w.p.exclude.MatchesUsingParentResults(rel, above.exclude); err != nil {
			return false, false, here, err
		}
	}
	return include && !excluded, excluded, here, nil
}

// saw notes that a path is copied.
func (s *selection) saw(rel string) {
	if s != nil && rel != "" && strings.HasPrefix(rel, s.want) {
		s.found = true
	}
}

// makePending makes the directories on the way that are not there yet.
func (w *walk) makePending(nested bool) error {
	for i := range w.pending {
		d := &w.pending[i]
		if d.made {
			continue
		}
		there, ok := w.p.t.view.Lstat(d.dest)
		if ok && there.Mode.IsDir() {
			if nested {
				if err := w.p.t.put(entry{File: w.p.t.again(there, d.e.Mode)}); err != nil {
					return err
				}
			}
		} else if err := w.directory(d.e, d.dest, nested); err != nil {
			return err
		}
		d.made = true
	}
	return nil
}

// again is a directory of the image with another mode.
func (t *target) again(e layers.Entry, mode fs.FileMode) layers.File {
	f := fileOf(e)
	f.Mode, f.Time = mode, t.b.time()
	return f
}

// directory makes a directory as it is in the source.
func (w *walk) directory(e layers.Entry, dest string, nested bool) error {
	t := w.p.t
	there, ok := t.view.Lstat(dest)
	if ok && !there.Mode.IsDir() {
		return fmt.Errorf("cannot copy to non-directory: /%s", dest)
	}
	if ok && !nested {
		return nil
	}
	out, err := w.p.src.file(e)
	if err != nil {
		return err
	}
	keepCapabilities(&out)
	addAttributes(&out, there)
	out.Path, out.Mode = dest, w.p.chmod.apply(e.Mode)
	return t.put(t.owned(out))
}

// file copies anything but a directory.
func (w *walk) file(e layers.Entry, dest string) error {
	t := w.p.t
	if there, ok := t.view.Lstat(dest); ok && there.Mode.IsDir() {
		return fmt.Errorf("cannot replace to directory /%s with file", dest)
	}
	out, err := w.p.src.file(e)
	if err != nil {
		return err
	}
	keepCapabilities(&out)
	out.Path, out.Mode = dest, w.p.chmod.apply(e.Mode)
	if e.Mode.IsRegular() {
		if w.links[e.Inode] == 0 {
			t.links++
			w.links[e.Inode] = t.links
		}
		out.links = w.links[e.Inode]
	}
	return t.put(t.owned(out))
}

// keepCapabilities drops the attributes that BuildKit's layers do not have:
// all but file capabilities.
func keepCapabilities(e *entry) {
	value, ok := e.Xattrs[layers.CapabilityXattr]
	e.Xattrs = nil
	if ok {
		e.Xattrs = map[string]string{layers.CapabilityXattr: value}
	}
}
