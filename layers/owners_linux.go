package layers

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// setOwner keeps an owner that is not 0:0 with a file or directory.
func setOwner(file string, uid, gid int, mode fs.FileMode) error {
	if err := unix.Lsetxattr(file, ownerXattr, []byte(formatOwner(uid, gid, mode)), 0); err != nil {
		return fmt.Errorf("keep owner of %s: %w", file, err)
	}
	return nil
}

// readOwner returns the owner that is kept with a file or directory; ok is
// false, and the owner 0:0, if none is.
func readOwner(file string) (uid, gid int, ok bool, err error) {
	var buf [64]byte
	n, err := unix.Lgetxattr(file, ownerXattr, buf[:])
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("read owner of %s: %w", file, err)
	}
	uid, gid, ok = parseOwner(string(buf[:n]))
	return uid, gid, ok, nil
}
