package layers

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// settle makes the upper directory what the layer would be when it is unpacked:
// times, owners and the contents of .pyc files; what is not in the layer goes
// or becomes what the lower trees have.
func (k *capture) settle() error {
	table := OwnerTable{}
	for _, c := range slices.Backward(k.list) {
		if err := k.settleOne(c, table); err != nil {
			return err
		}
	}
	if err := k.settleRoot(); err != nil {
		return err
	}
	if k.c.ChownTable == "" || k.o.Owners == OwnersReal {
		return nil
	}
	if err := os.Remove(k.c.ChownTable); err != nil && !os.IsNotExist(err) {
		return err
	}
	return table.write(k.c.ChownTable)
}

// settleRoot makes the root, which no layer has, that of the tree below.
func (k *capture) settleRoot() error {
	root, ok, err := k.lower.lstat(".")
	if err != nil || !ok {
		return err
	}
	if k.o.Owners == OwnersReal {
		uid, gid, _, _ := stat(root.info)
		err = os.Lchown(k.root, uid, gid)
	} else if uid, gid, ok, rerr := readOwner(root.host); ok {
		err = setOwner(k.root, uid, gid, root.info.Mode())
	} else if err = unix.Lremovexattr(k.root, ownerXattr); rerr != nil || errors.Is(err, unix.ENODATA) {
		err = rerr
	}
	if err != nil {
		return err
	}
	if err := unix.Chmod(k.root, uint32(tarMode(root.info.Mode()))); err != nil {
		return err
	}
	return setTime(k.root, root.info.ModTime())
}

func (k *capture) settleOne(c *change, table OwnerTable) error {
	if c.opaque {
		// What it hides has whiteouts of its own.
		if err := unix.Lremovexattr(c.host, opaqueXattr); err != nil {
			return err
		}
	}
	switch {
	case c.mount:
		return os.RemoveAll(c.host)
	case c.deleted && c.emit:
		if _, err := os.Lstat(c.host); errors.Is(err, fs.ErrNotExist) {
			return markWhiteout(c.host)
		}
		return nil
	case !c.emit && !c.info.IsDir():
		return os.RemoveAll(c.host) // the lower one is the same
	case !c.emit:
		if c.lower == nil || os.Remove(c.host) == nil {
			return nil
		}
		return setTime(c.host, c.lower.info.ModTime()) // it is not empty
	}
	if c.pyc {
		if err := k.stampFile(c); err != nil {
			return err
		}
	}
	if k.o.Owners == OwnersXattr {
		if err := k.settleOwner(c, table); err != nil {
			return err
		}
	}
	return setTime(c.host, k.timeOf(c))
}

// settleOwner keeps an owner that was inferred.
func (k *capture) settleOwner(c *change, table OwnerTable) error {
	if !c.info.IsDir() && !c.info.Mode().IsRegular() {
		if c.uid != 0 || c.gid != 0 {
			table[c.path] = OwnerEntry{UID: c.uid, GID: c.gid}
		}
		return nil
	}
	if err := unix.Lremovexattr(c.host, keptXattr); err != nil && !errors.Is(err, unix.ENODATA) {
		return err
	}
	uid, gid, _, err := readOwner(c.host)
	if err != nil || uid == c.uid && gid == c.gid {
		return err
	}
	return setOwner(c.host, c.uid, c.gid, c.info.Mode())
}

// stampFile sets the time in a .pyc on disk, which may be read-only.
func (k *capture) stampFile(c *change) error {
	perm := uint32(tarMode(c.info.Mode()))
	if err := unix.Chmod(c.host, perm|uint32(fs.FileMode(0o600))); err != nil {
		return err
	}
	f, err := os.OpenFile(c.host, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	h := make([]byte, pycHeader)
	if _, err = io.ReadFull(f, h); err == nil {
		k.stamp(h)
		_, err = f.WriteAt(h, 0)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return unix.Chmod(c.host, perm)
}
