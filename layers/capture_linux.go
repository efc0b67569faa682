package layers

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Capture writes what a command changed as a layer, an uncompressed tar sorted
// by path, and nothing else: what has the content, mode, owner and attributes
// that it had before is left out, also if it was touched or written again, and
// directories are there if they changed or lead to something that did. It must
// be called where the files of all owners can be read: inside the user
// namespace that the command ran in.
//
// Deletions become whiteouts where a lower tree has the path, and opaque
// whiteouts where a directory took the place of another. Sockets and mount
// points are left out. Where owners are attributes, a file that took the place
// of another without being given an owner keeps the other's.
func Capture(ctx context.Context, w io.Writer, c Changes, o CaptureOptions) error {
	k, err := newCapture(c, o)
	if err != nil {
		return fmt.Errorf("capture changes: %w", err)
	}
	if err := k.collect(ctx); err != nil {
		return fmt.Errorf("capture changes: %w", err)
	}
	k.prune()
	if err := k.matchPyc(); err != nil {
		return fmt.Errorf("capture changes: %w", err)
	}
	if err := Write(ctx, w, k.files()); err != nil {
		return fmt.Errorf("capture changes: %w", err)
	}
	if o.Settle {
		if err := k.settle(); err != nil {
			return fmt.Errorf("settle changes: %w", err)
		}
	}
	return nil
}

// change is an entry of the tree that may become one of the layer.
type change struct {
	path    string
	host    string
	info    fs.FileInfo
	lower   *found // what was there before; nil for nothing
	deleted bool
	opaque  bool // a directory that hides lower ones
	emit    bool // it goes into the layer
	mount   bool // it is there only because something was mounted
	uid     int
	gid     int
	link    string // of a symbolic link
	inode   inode
	linked  bool    // the file has several names
	linkTo  *change // the first of them in the layer
	xattrs  map[string]string
	pyc     bool // its content has a time that is to be set
	ownTime bool // it keeps its time
}

type capture struct {
	c      Changes
	o      CaptureOptions
	root   string
	lower  *stack
	table  OwnerTable // owners of changed entries without attributes
	before map[string]snapshotEntry
	skip   map[string]bool // mount points
	leads  map[string]bool // directories above mount points
	list   []*change
}

// inode tells hard links of one file.
type inode struct{ dev, ino uint64 }

func newCapture(c Changes, o CaptureOptions) (*capture, error) {
	k := &capture{
		c: c, o: o, root: c.Upper, lower: newStack(c.Lowers, c.Tables), table: OwnerTable{},
		skip: map[string]bool{}, leads: map[string]bool{},
	}
	var err error
	if c.ChownTable != "" {
		if k.table, err = ReadOwnerTable(c.ChownTable); err != nil {
			return nil, err
		}
	}
	if c.Upper == "" {
		k.root = c.Root
		if k.before, err = readSnapshot(c.Before); err != nil {
			return nil, err
		}
	}
	for _, p := range c.Skip {
		p = inRoot(p)
		k.skip[p] = true
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			k.leads[dir] = true
		}
	}
	return k, nil
}

// collect fills the list with everything that may have changed.
func (k *capture) collect(ctx context.Context) error {
	if err := k.walk(ctx, ".", true); err != nil {
		return err
	}
	if k.before != nil {
		if err := k.deletions(); err != nil {
			return err
		}
	}
	slices.SortFunc(k.list, func(a, b *change) int { return strings.Compare(a.name(), b.name()) })
	k.joinLinks()
	return nil
}

// joinLinks finds names of one file. All of them go into the layer: a name
// more or less is a change.
func (k *capture) joinLinks() {
	first := map[inode]*change{}
	for _, c := range k.list {
		if !c.linked {
			continue
		}
		f := first[c.inode]
		if f == nil {
			first[c.inode] = c
			continue
		}
		c.linkTo, c.emit, f.emit = f, true, true
	}
}

// name is the path of the entry in the layer.
func (c *change) name() string {
	if c.deleted {
		return Whiteout(c.path).Path
	}
	return c.path
}

// walk looks at a directory; merged says that lower trees show in it.
func (k *capture) walk(ctx context.Context, dir string, merged bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	entries, err := os.ReadDir(path.Join(k.root, dir))
	if err != nil {
		return err
	}
	for _, d := range entries {
		info, err := d.Info()
		if err != nil {
			return err
		}
		c := &change{path: path.Join(dir, d.Name()), info: info}
		c.host = path.Join(k.root, c.path)
		if err := k.look(c, merged); err != nil {
			return fmt.Errorf("/%s: %w", c.path, err)
		}
		if info.IsDir() && !k.skip[c.path] { // what is below was lent, if it is a copy
			if err := k.walk(ctx, c.path, merged && !c.opaque); err != nil {
				return err
			}
		}
	}
	return nil
}

// look decides what became of one entry and notes it.
func (k *capture) look(c *change, merged bool) error {
	if c.info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	if merged {
		f, ok, err := k.lower.lstat(c.path)
		if err != nil {
			return err
		}
		if ok {
			c.lower = &f
		}
	}
	k.list = append(k.list, c)
	if k.c.Upper != "" && isWhiteout(c.host, c.info) {
		c.deleted, c.emit = true, c.lower != nil
		return nil
	}
	if k.skip[c.path] {
		c.mount = true
		return nil
	}
	if k.unchanged(c) {
		return nil
	}
	return k.describe(c)
}

// unchanged says whether a copied tree has a file as it was before.
func (k *capture) unchanged(c *change) bool {
	if k.before == nil || c.info.IsDir() {
		return false
	}
	was, ok := k.before[c.path]
	return ok && was == snapshotOf(c.path, c.info)
}

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
	same, err := k.same(c)
	if err != nil {
		return err
	}
	c.emit = !same
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
	} else if e, ok := k.table[c.path]; ok {
		return e.UID, e.GID, nil
	}
	if c.lower != nil && c.lower.info.Mode().Type() == c.info.Mode().Type() && !c.opaque {
		return k.lower.owner(*c.lower, c.path, k.o.Owners)
	}
	return k.o.UID, k.o.GID, nil
}

// same says whether an entry is what it was before.
func (k *capture) same(c *change) (bool, error) {
	if c.lower == nil || c.opaque {
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

// deletions notes what a copied tree had before and has no more: of a deleted
// directory only itself.
func (k *capture) deletions() error {
	isDir := map[string]bool{".": true}
	for _, c := range k.list {
		isDir[c.path] = c.info.IsDir() && !k.skip[c.path]
	}
	for p := range k.before {
		if _, ok := isDir[p]; ok || !isDir[path.Dir(p)] {
			continue
		}
		_, ok, err := k.lower.lstat(p)
		if err != nil {
			return err
		}
		if ok {
			k.list = append(k.list, &change{path: p, deleted: true, emit: true})
		}
	}
	return nil
}

// prune settles which directories go into the layer: those that changed, and
// those above something that goes in. What was made only to mount something is
// dropped.
func (k *capture) prune() {
	needed := map[string]bool{}
	kids := map[string]bool{}
	for _, c := range slices.Backward(k.list) {
		if c.mount && c.info.IsDir() && kids[c.path] {
			c.mount = false
		}
		if k.leads[c.path] && c.lower == nil && !kids[c.path] {
			c.mount = true
		}
		if c.mount {
			c.emit = false
			continue
		}
		c.emit = c.emit || needed[c.path] && !c.deleted
		dir := path.Dir(c.path)
		kids[dir] = true
		if c.emit {
			needed[dir] = true
		}
	}
}

// files are the entries of the layer.
func (k *capture) files() func(yield func(File, error) bool) {
	return func(yield func(File, error) bool) {
		for _, c := range k.list {
			if !c.emit {
				continue
			}
			if c.deleted {
				if !yield(k.marker(Whiteout(c.path)), nil) {
					return
				}
				continue
			}
			if !yield(k.file(c), nil) {
				return
			}
			if c.opaque && c.lower != nil && c.lower.info.IsDir() && !yield(k.marker(Opaque(c.path)), nil) {
				return
			}
		}
	}
}

// marker is a whiteout with the time of the layer.
func (k *capture) marker(f File) File {
	f.Time = k.o.Time
	return f
}

// file is a changed entry as one of the layer.
func (k *capture) file(c *change) File {
	f := File{
		Path: c.path, Mode: c.info.Mode(), UID: c.uid, GID: c.gid, Size: c.info.Size(), Link: c.link,
		Time: k.timeOf(c), Xattrs: c.xattrs,
	}
	f.Major, f.Minor = deviceOf(c.info)
	if c.linkTo != nil {
		f.Link, f.HardLink, f.Xattrs = c.linkTo.path, true, nil
		return f
	}
	if c.info.Mode().IsRegular() {
		f.Open = func() (io.ReadCloser, error) { return k.open(c) }
	}
	return f
}
