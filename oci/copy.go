package oci

import (
	"context"
	"path"

	"github.com/kanso-build/kanso/resolve/plan"
)

// copy makes the layers of a Copy step.
func (b *Builder) copy(ctx context.Context, st *state, c plan.Copy) error {
	whole := selects(c)
	if st.missedRun && (whole && !linked(c) || st.wild) {
		st.unknown(c)
		return nil
	}
	if whole {
		return b.copyMatches(ctx, st, c)
	}
	return b.copyFiles(ctx, st, c)
}

// selects says whether a Copy step is one of those that say which files they
// take from where.
func selects(c plan.Copy) bool {
	return len(c.Patterns) > 0 || c.From.Stage != "" || c.From.Image != "" || c.From.Context != "" || c.From.URL != "" || c.From.Git != "" || len(c.From.Inline) > 0
}

// copyFiles makes the layers of a Copy step without patterns.
func (b *Builder) copyFiles(ctx context.Context, st *state, c plan.Copy) error {
	set, err := b.copied(ctx, st, c)
	if err != nil {
		return err
	}
	b.noteCopied(st, c, set)
	return b.filesLayers(ctx, st, work{step: c.String(), kind: c.Kind(), adopts: c.Adopt}, set)
}

// copied returns what a Copy step writes: the files, the directories that lead
// to them, and what is there already and takes the same modes and owner.
func (b *Builder) copied(ctx context.Context, st *state, c plan.Copy) (entries, error) {
	uid, gid, err := b.owner(ctx, st, c.Owner)
	if err != nil {
		return nil, err
	}
	view, err := b.destView(ctx, st, c.Dest)
	if err != nil {
		return nil, err
	}
	dest, err := place(view, path.Join(c.Dest, "x"))
	if err != nil {
		return nil, err
	}
	dest = path.Dir(dest)
	set := entries{}
	if dest != "." {
		st.parents(set, view, path.Join(dest, "x"), b)
		if c.Adopt {
			e := set[dest]
			e.Mode, e.UID, e.GID = e.Mode|c.AddMode, ownerOr(c.Owner, uid, e.UID), ownerOr(c.Owner, gid, e.GID)
			set[dest], st.dirs[dest] = e, e.File
		}
	}
	if c.Adopt {
		if err := b.adopt(ctx, st, set, dest, c); err != nil {
			return nil, err
		}
	}
	list, err := b.contextFiles(ctx, c, dest, uid, gid)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		st.parents(set, view, e.Path, b)
		set[e.Path] = e
		if e.Mode.IsDir() {
			st.dirs[e.Path] = e.File
		}
	}
	if !c.Adopt {
		return set, nil
	}
	for _, e := range list { // a directory that the context does not name is below Dest, too
		for dir := path.Dir(e.Path); dir != dest && dir != "."; dir = path.Dir(dir) {
			d := set[dir]
			d.Mode, d.UID, d.GID = d.Mode|c.AddMode, ownerOr(c.Owner, uid, d.UID), ownerOr(c.Owner, gid, d.GID)
			set[dir], st.dirs[dir] = d, d.File
		}
	}
	return set, nil
}
