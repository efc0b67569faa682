package layers

import (
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// describe reads what the entry says beside its content and compares it with
// what was there.
func (k *capture) describe(c *change) (err error) {
	if k.c.Upper != "" {
		if err := foreign(c); err != nil {
			return err
		}
		c.opaque = c.info.IsDir() && isOpaque(c.host)
	}
	if c.info.Mode()&fs.ModeSymlink != 0 {
		if c.link, err = os.Readlink(c.host); err != nil {
			return err
		}
	} else if c.xattrs, err = readXattrs(c.host); err != nil {
		return err
	}
	if c.uid, c.gid, err = k.ownerOf(c); err != nil {
		return err
	}
	if c.info.IsDir() && c.info.Mode()&fs.ModeSetgid != 0 {
		k.setgid[c.path] = c.gid
	}
	same, err := k.same(c)
	if err != nil {
		return err
	}
	c.emit = !same
	c.fresh = c.fresh || c.info.IsDir() && k.replaced(c)
	c.inode, c.linked = linkedInode(c.info)
	return nil
}

// ownerOf is the owner of a changed entry.
func (k *capture) ownerOf(c *change) (uid, gid int, err error) {
	if k.o.Owners == OwnersReal {
		uid, gid, _, _ = stat(c.info)
		return uid, gid, nil
	}
	if c.info.IsDir() || c.info.Mode().IsRegular() {
		uid, gid, ok, err := readOwner(c.host)
		if ok || err != nil {
			return uid, gid, err
		}
	}
	uid, gid = k.o.UID, k.o.GID
	if k.stays(c) {
		if uid, gid, err = k.lower.owner(*c.lower, c.path, k.o.Owners); err != nil {
			return 0, 0, err
		}
	} else if g, ok := k.setgid[path.Dir(c.path)]; ok {
		gid = g
	}
	if e, ok := k.table[c.path]; ok && !c.info.IsDir() && !c.info.Mode().IsRegular() {
		if e.UID >= 0 {
			uid = e.UID
		}
		if e.GID >= 0 {
			gid = e.GID
		}
	}
	return uid, gid, nil
}

// stays says whether an entry without an owner has the one of what was there. A
// file that was changed in its place has it with it.
func (k *capture) stays(c *change) bool {
	if c.lower == nil || c.fresh || c.lower.info.Mode().Type() != c.info.Mode().Type() {
		return false
	}
	if c.info.IsDir() {
		return !k.replaced(c)
	}
	if !c.info.Mode().IsRegular() {
		return true
	}
	if _, _, owned, err := readOwner(c.lower.host); err != nil || !owned {
		return err == nil
	}
	_, err := unix.Lgetxattr(c.host, keptXattr, nil)
	return err == nil
}

// replaced says whether a directory is another one than lower trees have at its
// place. A copy has the owners of all directories that it began with.
func (k *capture) replaced(c *change) bool {
	if c.lower == nil || c.opaque {
		return true
	}
	if k.c.Upper != "" || k.o.Owners == OwnersReal {
		return false
	}
	_, _, ok, err := readOwner(c.host)
	return !ok && err == nil
}

// same says whether an entry is what it was before.
func (k *capture) same(c *change) (bool, error) {
	if c.lower == nil {
		return false, nil
	}
	was := c.lower.info
	if was.Mode() != c.info.Mode() {
		return false, nil
	}
	uid, gid, err := k.lower.owner(*c.lower, c.path, k.o.Owners)
	if err != nil || uid != c.uid || gid != c.gid {
		return false, err
	}
	if was.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(c.lower.host)
		return link == c.link, err
	}
	attrs, err := readXattrs(c.lower.host)
	if err != nil || !mapsEqual(attrs, c.xattrs) {
		return false, err
	}
	if !was.Mode().IsRegular() {
		return true, nil
	}
	return was.Size() == c.info.Size() && sameContent(c.host, c.lower.host), nil
}
