package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/resolve/plan"
)

// contextDir is the directory of a build context.
func (b *Builder) contextDir(from plan.Source) (string, error) {
	if from.Context == "" {
		return b.Context, nil
	}
	dir, ok := b.Contexts[from.Context]
	if !ok {
		return "", fmt.Errorf("no build context %q", from.Context)
	}
	return dir, nil
}

// copyContext makes a tree with the files of a context that a mount may show,
// for one command, which may change them: theirs are the modes, times and
// contents of the context, and they are root's.
func (m *mounter) copyContext(ctx context.Context, p plan.Mount) (tree string, err error) {
	from, err := m.b.contextDir(p.From)
	if err != nil {
		return "", err
	}
	checked, err := m.b.contextSource(ctx, from, p.Files, plan.Copy{Modes: plan.ModesDisk})
	if err != nil {
		return "", err // a file lies behind a link
	}
	checked.close()
	if tree, err = os.MkdirTemp(m.b.Store.Scratch(), "mount-"); err != nil {
		return "", fmt.Errorf("make mount: %w", err)
	}
	m.releases = append(m.releases, func() { m.remove(context.WithoutCancel(ctx), tree) })
	root := layers.TreeFiles(tree)
	if err := os.Mkdir(root, 0o700); err != nil {
		return "", err
	}
	dirs := map[string]fs.FileInfo{".": nil}
	for _, name := range p.Files {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return "", fmt.Errorf("%q leads out of the context", name)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := dirs[dir]; !ok {
				dirs[dir] = nil
			}
		}
		if err := copyEntry(from, root, name, dirs); err != nil {
			return "", err
		}
	}
	return tree, settleDirs(root, dirs)
}

// copyEntry copies one entry; directories are made, and finished later.
func copyEntry(from, root, name string, dirs map[string]fs.FileInfo) error {
	source, to := filepath.Join(from, filepath.FromSlash(name)), filepath.Join(root, filepath.FromSlash(name))
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		dirs[name] = info
		return os.MkdirAll(to, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return os.Symlink(link, to)
	case info.Mode().IsRegular():
		return copyRegular(source, to, info)
	}
	return fmt.Errorf("%s is neither file, directory nor link", name)
}

func copyRegular(source, to string, info fs.FileInfo) error {
	r, err := openSame(source, info)
	if err != nil {
		return err
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, r.Close(), w.Close()); err != nil {
		return err
	}
	return like(to, info)
}

// like gives a copy the mode and time of the original.
func like(file string, info fs.FileInfo) error {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if err := os.Chmod(file, info.Mode()&bits); err != nil {
		return err
	}
	return os.Chtimes(file, info.ModTime(), info.ModTime())
}

// settleDirs finishes directories, the deepest first; those that nothing was
// said of are 0755.
func settleDirs(root string, dirs map[string]fs.FileInfo) error {
	names := make([]string, 0, len(dirs))
	for name := range dirs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		dir, info := filepath.Join(root, filepath.FromSlash(name)), dirs[name]
		err := os.Chmod(dir, 0o755) //nolint:gosec // as in every image
		if info != nil {
			err = like(dir, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes a directory that a command may have written to, as whoever it
// was.
func (m *mounter) remove(ctx context.Context, dir string) {
	if layers.RemoveAll(dir) == nil {
		return
	}
	if err := m.r.Call(ctx, sandbox.Call{Verb: "remove", Args: RemoveArgs{Paths: []string{dir}}}); err != nil {
		m.b.note("remove %s: %v", dir, err) // it goes when the cache is next opened
	}
}

// mountKeys adds to a key what mounts say and what binds show. What caches and
// secrets hold is no part of it.
func (b *Builder) mountKeys(ctx context.Context, st *state, k *key, list []plan.Mount) error {
	for _, p := range list {
		k.add("mount", string(p.Type), p.Target, p.Path, strconv.FormatBool(p.ReadOnly), p.Env, strconv.FormatInt(p.Size, 10))
		if p.Type == plan.MountSecret || p.Type == plan.MountSSH {
			k.add("id", p.ID, p.Mode.String(), strconv.Itoa(p.UID), strconv.Itoa(p.GID))
		}
		if p.Type != plan.MountBind {
			continue
		}
		from, err := b.sourceState(ctx, st, p.From)
		if err != nil {
			return fmt.Errorf("mount %s: %w", p.Target, err)
		}
		if from != nil {
			k.add("from", from.diffIDs()...)
			st.missed = st.missed || from.missed
			continue
		}
		if err := b.contextKey(ctx, k, p); err != nil {
			return fmt.Errorf("mount %s: %w", p.Target, err)
		}
	}
	return nil
}

// contextKey adds the files of a context.
func (b *Builder) contextKey(ctx context.Context, k *key, p plan.Mount) error {
	dir, err := b.contextDir(p.From)
	if err != nil {
		return err
	}
	for _, name := range p.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("%q leads out of the context", name)
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		info, err := os.Lstat(file)
		if err != nil {
			return err
		}
		content := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			content, err = os.Readlink(file)
		case info.Mode().IsRegular():
			h, herr := b.hash(file, info, func() (io.ReadCloser, error) { return openSame(file, info) })
			content, err = h.Hex, herr
		}
		if err != nil {
			return err
		}
		k.add("file", name, info.Mode().String(), content)
	}
	return nil
}
