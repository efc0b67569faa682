package layers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// readXattrs returns the attributes of a file that belong to the image.
func readXattrs(file string) (map[string]string, error) {
	names, err := listXattrs(file)
	if err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	var attrs map[string]string
	for _, name := range names {
		if !portable(name) {
			continue
		}
		value, err := xattr(file, name)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[name] = value
	}
	return attrs, nil
}

func listXattrs(file string) ([]string, error) {
	var buf [1024]byte
	b := buf[:]
	n, err := unix.Llistxattr(file, b)
	if errors.Is(err, unix.ERANGE) {
		b = make([]byte, 64<<10) // Linux has no longer list
		n, err = unix.Llistxattr(file, b)
	}
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00"), nil
}

func xattr(file, name string) (string, error) {
	if _, err := unix.Lgetxattr(file, name, nil); err != nil {
		return "", err // as for most files, for which no memory is needed
	}
	b := make([]byte, 64<<10) // Linux has no longer value
	n, err := unix.Lgetxattr(file, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// foreign refuses what overlayfs makes only when it is mounted with options
// that we do not use, and what would be wrong in a layer.
func foreign(c *change) error {
	names, err := listXattrs(c.host)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == "user.overlay.redirect" || n == "user.overlay.metacopy" {
			return fmt.Errorf("it has the attribute %s, which cannot be put in a layer", n)
		}
	}
	return nil
}

func mapsEqual(a, b map[string]string) bool { return maps.Equal(a, b) }

// linkedInode identifies a file that has several names.
func linkedInode(info fs.FileInfo) (inode, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.IsDir() || st.Nlink < 2 {
		return inode{}, false
	}
	return inode{uint64(st.Dev), st.Ino}, true
}

// deviceOf returns the numbers of a device.
func deviceOf(info fs.FileInfo) (major, minor int64) {
	_, _, rdev, ok := stat(info)
	if !ok || info.Mode()&fs.ModeDevice == 0 {
		return 0, 0
	}
	return int64(unix.Major(rdev)), int64(unix.Minor(rdev))
}

// sameContent compares two files; one that cannot be read is another.
func sameContent(a, b string) bool {
	fa, err := os.Open(a)
	if err != nil {
		return false
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return false
	}
	defer fb.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		na, errA := io.ReadFull(fa, bufA)
		nb, errB := io.ReadFull(fb, bufB)
		if !bytes.Equal(bufA[:na], bufB[:nb]) {
			return false
		}
		if errA != nil || errB != nil {
			return ended(errA) && ended(errB)
		}
	}
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
