package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// whiteoutXattr marks an empty file as a deletion, in a directory that says
// that it has such files, where a device cannot be made: an overlayfs refuses
// the device that would be a deletion of its own (Linux 6.7 and later read it).
const whiteoutXattr = "user.overlay.whiteout"

// markWhiteout marks the deletion of a path in a tree.
func markWhiteout(file string) error {
	err := unix.Mknod(file, unix.S_IFCHR, 0)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Lsetxattr(file, whiteoutXattr, []byte("y"), 0); err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if isOpaque(dir) {
		return nil
	}
	return unix.Lsetxattr(dir, opaqueXattr, []byte("x"), 0)
}

// isWhiteout says whether a file of an unpacked tree marks a deletion.
func isWhiteout(file string, info fs.FileInfo) bool {
	if info.Mode().IsRegular() && info.Size() == 0 {
		_, err := unix.Lgetxattr(file, whiteoutXattr, nil)
		return err == nil
	}
	_, _, rdev, ok := stat(info)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && rdev == 0
}

// treeLstat looks a path up in one tree of several. If info is nil, hidden says
// whether this tree hides the path from the trees below it.
func treeLstat(root, p string) (file string, info fs.FileInfo, hidden bool) {
	file = filepath.Join(root, filepath.FromSlash(p))
	for at := path.Dir(p); at != "." && at != "/"; at = path.Dir(at) {
		dir := filepath.Join(root, filepath.FromSlash(at))
		parent, err := os.Lstat(dir)
		if err != nil {
			continue
		}
		if !parent.IsDir() {
			return "", nil, true
		}
		hidden = hidden || isOpaque(dir)
	}
	info, err := os.Lstat(file)
	if err != nil {
		return "", nil, hidden
	}
	if isWhiteout(file, info) {
		return "", nil, true
	}
	return file, info, false
}

// isOpaque says whether a directory of a tree hides what is below it.
func isOpaque(dir string) bool {
	var buf [4]byte
	n, err := unix.Lgetxattr(dir, opaqueXattr, buf[:])
	return err == nil && n == 1 && buf[0] == 'y'
}

// setTime sets the modification time of a file or link; zero is 1970.
func setTime(file string, t time.Time) error {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return fmt.Errorf("set time of %s: %w", file, err)
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, file, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// xattrs sets the extended attributes of an entry. Those that only this
// machine's tools give a meaning to are dropped, as are those that this file
// system or user may not set.
func xattrs(file string, h *tar.Header) error {
	for record, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrPrefix)
		if !ok || !portable(name) {
			continue
		}
		err := unix.Lsetxattr(file, name, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}

// copyFile copies a regular file with its mode, time and kept owner.
func copyFile(from, to string, info fs.FileInfo) error {
	if err := copyContent(from, to); err != nil {
		return err
	}
	uid, gid, ok, err := readOwner(from)
	if err != nil {
		return err
	}
	if ok {
		if err := setOwner(to, uid, gid, info.Mode()); err != nil {
			return err
		}
	}
	if err := unix.Chmod(to, uint32(tarMode(info.Mode()))); err != nil {
		return err
	}
	return setTime(to, info.ModTime())
}

// copyContent copies a regular file to a new one that only its owner can read.
func copyContent(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if e := w.Close(); err == nil {
		err = e
	}
	return err
}
