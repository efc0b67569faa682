package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Merge copies what several trees show together, the files of the topmost
// first, into an empty directory: with modes, owners, times and attributes, and
// without what upper trees delete. As in an overlay, where the first change makes
// another file of a name, each name of a file is a file. Where owners are
// attributes every directory has one.
func Merge(ctx context.Context, roots []string, dst string, how Owners) error {
	m := &merger{stack: newStack(roots, nil), dst: dst, how: how}
	if err := m.dir(ctx, "."); err != nil {
		return fmt.Errorf("merge layers: %w", err)
	}
	return nil
}

type merger struct {
	*stack
	dst string
	how Owners
}

func (m *merger) dir(ctx context.Context, dir string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	dirs, err := m.visible(dir)
	if err != nil || len(dirs) == 0 {
		return err
	}
	done := map[string]bool{}
	for _, d := range dirs {
		entries, err := os.ReadDir(d.host)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if done[e.Name()] {
				continue
			}
			done[e.Name()] = true
			if err := m.entry(ctx, path.Join(dir, e.Name()), path.Join(d.host, e.Name()), e); err != nil {
				return err
			}
		}
	}
	info, err := os.Lstat(dirs[0].host)
	if err != nil {
		return err
	}
	return m.attributes(dirs[0].host, path.Join(m.dst, dir), info)
}

func (m *merger) entry(ctx context.Context, p, from string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	to := path.Join(m.dst, p)
	switch {
	case isWhiteout(from, info), info.Mode()&fs.ModeSocket != 0:
		return nil
	case info.IsDir():
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return m.dir(ctx, p)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, to); err != nil {
			return err
		}
	case info.Mode()&fs.ModeNamedPipe != 0:
		if err := unix.Mkfifo(to, 0o600); err != nil {
			return err
		}
	case info.Mode()&fs.ModeDevice != 0:
		_, _, rdev, _ := stat(info)
		err := unix.Mknod(to, unixType(info.Mode()), int(rdev))
		if errors.Is(err, unix.EPERM) {
			return nil // the step has devices of its own
		}
		if err != nil {
			return err
		}
	default:
		if err := copyContent(from, to); err != nil {
			return err
		}
	}
	return m.attributes(from, to, info)
}

// attributes gives a copy what the original has beside its content.
func (m *merger) attributes(from, to string, info fs.FileInfo) error {
	if m.how == OwnersReal {
		uid, gid, _, _ := stat(info)
		if err := os.Lchown(to, uid, gid); err != nil {
			return err
		}
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return setTime(to, info.ModTime())
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	if info.IsDir() && m.how == OwnersXattr {
		if uid, gid, ok, err := readOwner(to); err != nil {
			return err
		} else if !ok {
			if err := setOwner(to, uid, gid, info.Mode()); err != nil {
				return err
			}
		}
	}
	if err := unix.Chmod(to, uint32(tarMode(info.Mode()))); err != nil {
		return err
	}
	return setTime(to, info.ModTime())
}

// copyXattrs copies what belongs to the image and the owner that is kept.
func copyXattrs(from, to string) error {
	names, err := listXattrs(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !portable(name) && name != ownerXattr {
			continue
		}
		value, err := xattr(from, name)
		if err != nil {
			return err
		}
		if err := unix.Lsetxattr(to, name, []byte(value), 0); err != nil && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return nil
}

// unixType is the type of a device in the form that mknod takes.
func unixType(m fs.FileMode) uint32 {
	if m&fs.ModeCharDevice != 0 {
		return unix.S_IFCHR | uint32(m.Perm())
	}
	return unix.S_IFBLK | uint32(m.Perm())
}
