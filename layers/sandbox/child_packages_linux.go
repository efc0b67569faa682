package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lentPackages is a [MountPackages] that is kept in its Linked.
type lentPackages struct {
	home string // Linked
	// at is where a cache that began empty is among the changes, absolute in the
	// image; empty for one that is shown through an overlay, whose upper directory
	// written is.
	at, written string
}

// packages shows a package cache.
func (t *tree) packages(i int, m Mount) error {
	if t.job.Mode != ModeOverlay || m.Linked == "" || !t.near(m.Linked) {
		return t.bind(m.Source, m.Target, false)
	}
	if _, err := os.Lstat(treeFiles(m.Linked)); errors.Is(err, fs.ErrNotExist) {
		if left, err := os.ReadDir(m.Source); err == nil && len(left) == 0 && len(m.Vars) > 0 {
			if begun, err := t.begin(m); begun || err != nil {
				return err
			}
		}
		return t.bind(m.Source, m.Target, false)
	}
	dir := filepath.Join(t.job.Scratch, "m"+strconv.Itoa(i))
	root, err := t.show(dir, []string{m.Linked})
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	t.packs = append(t.packs, lentPackages{home: m.Linked, written: t.shown(dir)})
	return t.bind(root, m.Target, false)
}

// begin makes an empty package cache among the changes, if there is nothing at its
// place yet.
func (t *tree) begin(m Mount) (done bool, err error) {
	at, err := t.inside(m.Target)
	if err != nil {
		return false, err
	}
	if _, err := os.Lstat(filepath.Join(t.root, at)); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if _, err := t.point(m.Target, true); err != nil {
		return false, err
	}
	t.packs = append(t.packs, lentPackages{home: m.Linked, at: at})
	for _, v := range m.Vars {
		name, _, _ := strings.Cut(v, "=")
		t.job.Run.Env = append(slices.DeleteFunc(t.job.Run.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") }), v)
	}
	return true, nil
}

// near says whether what is written in the sandbox can be moved to a directory.
func (t *tree) near(dir string) bool {
	temp, err := os.MkdirTemp(t.top, "near-")
	if err != nil {
		return false
	}
	defer os.Remove(temp)
	moved := filepath.Join(dir, filepath.Base(temp))
	if os.Rename(temp, moved) != nil {
		return false
	}
	return os.Remove(moved) == nil
}

// keepPackages moves what the command put into package caches there. Nothing is
// mounted any more. That something cannot be kept is said and costs time later.
func (t *tree) keepPackages() error {
	for i, p := range t.packs {
		if p.at != "" {
			p.written = filepath.Join(t.top, "packages-"+strconv.Itoa(i))
			if there, err := t.takeOut(p.at, p.written); err != nil {
				return fmt.Errorf("keep packages: %w", err)
			} else if !there {
				continue
			}
		}
		if err := p.keep(); err != nil {
			fmt.Fprintf(os.Stderr, "keep packages: %v\n", err)
		}
	}
	return nil
}

// takeOut moves a directory out of the changes, if it is still there. The command
// may have put links on the way, which must not lead out of the changes.
func (t *tree) takeOut(at, to string) (there bool, err error) {
	upper, err := os.OpenRoot(t.upper)
	if err != nil {
		return false, err
	}
	defer upper.Close()
	at = at[1:]
	info, err := upper.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, upper.Remove(at)
	}
	free, err := os.MkdirTemp(t.upper, ".packages-")
	if err != nil {
		return false, err
	}
	if err := errors.Join(os.Remove(free), upper.Rename(at, filepath.Base(free))); err != nil {
		return false, err
	}
	return true, os.Rename(free, to)
}

// keep joins what is new to what is kept, one after another if several do so. What
// was written on top of something that is gone by now is of no use.
func (p lentPackages) keep() error {
	home, err := os.Open(p.home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer home.Close()
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(home.Fd()), unix.LOCK_EX)
	}
	if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOLCK) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	kept := treeFiles(p.home)
	if _, err := os.Lstat(kept); !errors.Is(err, fs.ErrNotExist) {
		return merged(p.written, kept)
	}
	if p.at == "" {
		return nil
	}
	return os.Rename(p.written, kept)
}

// replace moves something out of the upper directory of an overlay to where it was
// shown. A directory that is there already is joined, unless a new one was made in
// its place (Documentation/filesystems/overlayfs.rst: whiteouts and opaque
// directories).
func replace(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if whiteout(info) {
		return removeAll(to)
	}
	was, err := os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() && !was.IsDir():
		return os.Rename(from, to)
	case err != nil:
		return err
	case info.IsDir() && was.IsDir() && !opaque(from):
		return merged(from, to)
	}
	if err := removeAll(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// merged moves what is in one directory into another one.
func merged(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := replace(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// whiteout says whether an entry of an upper directory stands for one that was
// removed.
func whiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// opaque says whether a directory of an upper directory hides the one below it.
func opaque(dir string) bool {
	var value [1]byte
	n, err := unix.Lgetxattr(dir, "user.overlay.opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}
