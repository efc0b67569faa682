package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// With one id all files belong to whom the command runs as. So that an ordinary
// user may not do what it may not, files of others have, for the command's time,
// for their owner the permissions that they have for it: directories are as they
// are for it, and files cannot be read or started. It can still write into files
// of others, and give itself the permissions; a build does not.

// A right is a mode that a file has for the command's time only.
type right struct{ was, is uint32 }

// restricts says whether there is something to be taken away.
func (t *tree) restricts() bool { return t.job.One && t.job.Run.UID != 0 }

// seen is a mode as the command's user sees it of a file of somebody's.
func (t *tree) seen(mode uint32, uid, gid int) uint32 {
	r := t.job.Run
	if !t.restricts() || uid == r.UID {
		return mode
	}
	bits := mode & 0o007
	if gid == r.GID || slices.Contains(r.Groups, gid) {
		bits = mode >> 3 & 0o007
	}
	return mode&^0o700 | bits<<6
}

// restrict takes from the files below a directory what the command's user has no
// right to, and returns what they had.
func (t *tree) restrict(root string) (map[string]right, error) {
	rights := map[string]right{}
	if !t.restricts() {
		return rights, nil
	}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		mode := st.Mode & 0o7777
		if !d.IsDir() && mode>>6&^mode&0o005 == 0 {
			return nil // everybody may read and start it who its owner lets
		}
		uid, gid := ownerNoted(p)
		is := t.seen(mode, uid, gid)
		if is == mode || !d.IsDir() && (mode^is)&0o500 == 0 {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rights[rel] = right{mode, is}
		return unix.Chmod(p, is)
	})
	if err != nil {
		return nil, fmt.Errorf("see files as user %d: %w", t.job.Run.UID, err)
	}
	return rights, nil
}

// ownerNoted is the owner that is noted with a file; without a note it is root's.
func ownerNoted(p string) (uid, gid int) {
	var buf [64]byte
	n, err := unix.Lgetxattr(p, ownerXattr, buf[:])
	if err == nil {
		_, _ = fmt.Sscanf(string(buf[:n]), "%d:%d:", &uid, &gid) // a broken one is none
	}
	return uid, gid
}

// giveBack undoes that where the command left it. It may have put links on the
// way, which must not lead out of the root.
func (t *tree) giveBack() error {
	if len(t.rights) == 0 {
		return nil
	}
	dir := t.upper
	if dir == "" {
		dir = t.root
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("give rights back: %w", err)
	}
	defer root.Close()
	for _, rel := range slices.Sorted(maps.Keys(t.rights)) { // a directory before what can be seen only through it
		r := t.rights[rel]
		info, err := root.Lstat(rel)
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("give rights back: %w", err)
		}
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue // it is something else by now
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Mode&0o7777 != r.is {
			continue
		}
		if err := root.Chmod(rel, fileMode(r.was)); err != nil {
			return fmt.Errorf("give rights back: %w", err)
		}
	}
	return nil
}

// fileMode is a mode of inode(7) as Go has it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	if mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}
