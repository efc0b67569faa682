package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// target is where a step puts files: the image as it is, and what the step has
// put there so far.
type target struct {
	b       *Builder
	view    *layers.View // changes as files are put
	set     entries
	gone    map[string]bool // directories of the image that were replaced
	uid     int
	gid     int
	has     bool // an owner was named
	parents fs.FileMode
	links   int // numbers that were given out for files with several names
}

// target returns the target of a step on a state, whose view it changes.
func (b *Builder) target(ctx context.Context, st *state, c plan.Copy) (*target, error) {
	t := &target{b: b, set: entries{}, gone: map[string]bool{}, has: c.Owner != "", parents: 0o755}
	var err error
	if t.view, err = b.targetView(ctx, st, c); err != nil {
		return nil, err
	}
	if t.uid, t.gid, err = b.newOwner(st, t.view, c.Owner); err != nil {
		return nil, err
	}
	if linked(c) {
		t.view = layers.NewView(nil)
	}
	return t, nil
}

// targetView is a view that has all that a step asks: of one place that is a
// sketch, unless an owner's name is to be looked up.
func (b *Builder) targetView(ctx context.Context, st *state, c plan.Copy) (*layers.View, error) {
	if dest := path.Clean("/" + c.Dest); dest != "/" && strings.Trim(c.Owner, "0123456789:") == "" {
		return b.glimpse(ctx, st, 0, dest)
	}
	return b.whole(ctx, st)
}

// linked says whether a layer is made without a look at the image. BuildKit
// does not do that with --chmod.
func linked(c plan.Copy) bool { return c.Link && c.Chmod == "" }

// newOwner looks up who owns what a COPY, an ADD or a WORKDIR adds. As in
// BuildKit a name that the image does not know is root's.
func (b *Builder) newOwner(st *state, view *layers.View, spec string) (uid, gid int, err error) {
	if spec == "" || spec == "root" {
		return 0, 0, nil
	}
	uid, gid, err = view.NewOwner(spec)
	if errors.Is(err, layers.ErrNoUser) {
		b.unlike.Store(true)
		b.noteIn(st, "owner %q: %v; it is root's", spec, err)
		err = nil
	}
	return uid, gid, err
}

// owned gives an entry the owner that was named, if one was.
func (t *target) owned(e entry) entry {
	if t.has {
		e.UID, e.GID = t.uid, t.gid
	}
	return e
}

// put adds an entry, in place of what is there. Its path has no links in it,
// and its parent is there.
func (t *target) put(e entry) error {
	if strings.HasPrefix(path.Base(e.Path), ".wh.") {
		return fmt.Errorf("/%s: a name that begins with .wh. would mean a deletion in a layer", e.Path)
	}
	if !e.Mode.IsDir() {
		t.remove(e.Path)
	}
	t.set[e.Path] = e
	t.view.Put(listed(e))
	return nil
}

// remove takes a path away, with what is below it.
func (t *target) remove(p string) {
	old, ok := t.view.Lstat(p)
	if !ok {
		return
	}
	if old.Mode.IsDir() {
		t.gone[p] = true
		for name := range t.set {
			if strings.HasPrefix(name, p+"/") {
				delete(t.set, name)
			}
		}
	}
	delete(t.set, p)
	t.view.Remove(p)
}

// mkdirAll makes a directory and its parents where they are missing. The path
// has no links in it.
func (t *target) mkdirAll(p string, perm fs.FileMode) error {
	if p == "." || p == "" {
		return nil
	}
	e, ok := t.view.Lstat(p)
	if ok && e.Mode.IsDir() {
		return nil
	}
	if ok {
		return fmt.Errorf("/%s: not a directory", p)
	}
	if err := t.mkdirAll(path.Dir(p), perm); err != nil {
		return err
	}
	return t.put(t.owned(entry{File: layers.File{Path: p, Mode: fs.ModeDir | perm.Perm(), Time: t.b.time()}}))
}

// finish returns what was put, with the directories above as they are in the
// image.
func (t *target) finish(ctx context.Context) (entries, error) {
	if err := t.set.load(ctx); err != nil {
		return nil, err
	}
	for _, name := range sortedNames(t.set) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := t.set[dir]; ok {
				continue
			}
			e, ok := t.view.Lstat(dir)
			if !ok || !e.Mode.IsDir() {
				return nil, fmt.Errorf("/%s: not a directory", dir)
			}
			f := fileOf(e)
			f.Path, f.Time = dir, t.b.time()
			t.set[dir] = entry{File: f}
		}
	}
	t.set.link()
	for p := range t.gone {
		if e, ok := t.set[p]; ok && e.Mode.IsDir() {
			at := path.Join(p, ".wh..wh..opq")
			t.set[at] = entry{File: layers.File{Path: p}, opaque: true}
		}
	}
	return t.set, nil
}
