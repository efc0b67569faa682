package layers

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
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
// Deletions become whiteouts where a lower tree has the path, also of what was in
// a directory that another one took the place of: there are no opaque whiteouts.
// The root itself, sockets and mount points are left out. Where owners are
// attributes, a file that took the place of another and was given the owner that
// the command saw keeps the other's.
func Capture(ctx context.Context, w io.Writer, c Changes, o CaptureOptions) error {
	return captured(ctx, c, o, func(k *capture) error { return Write(ctx, w, k.files()) })
}

// CaptureParts is [Capture] for what is divided into several layers, which are
// written as [WriteParts] does: split is told which paths the lower trees have,
// of those that are written or deleted.
func CaptureParts(ctx context.Context, w io.Writer, c Changes, o CaptureOptions, split func(files []File, below func(path string) bool) ([]Part, error)) error {
	return captured(ctx, c, o, func(k *capture) error {
		var files []File
		for f, err := range k.files() {
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		parts, err := split(files, k.below())
		if err != nil {
			return err
		}
		if len(files) > manyFiles {
			debug.FreeOSMemory() // what dividing took, before contents are read beside the builder, which packs them
		}
		return WriteParts(ctx, w, parts)
	})
}

// manyFiles is how many files take so much memory to divide that it is worth
// giving back: some 3 KB each.
const manyFiles = 5000

// below says which paths the lower trees have.
func (k *capture) below() func(path string) bool {
	has := map[string]bool{}
	for _, c := range k.list {
		has[c.path] = c.lower != nil || c.deleted
	}
	return func(p string) bool { return has[p] }
}

// captured finds what a command changed and writes it.
func captured(ctx context.Context, c Changes, o CaptureOptions, write func(k *capture) error) error {
	k, err := gathered(ctx, c, o)
	if err != nil {
		return err
	}
	if err := write(k); err != nil {
		return fmt.Errorf("capture changes: %w", err)
	}
	if o.Settle {
		if err := k.settle(); err != nil {
			return fmt.Errorf("settle changes: %w", err)
		}
	}
	return nil
}

// gathered finds what a command changed.
func gathered(ctx context.Context, c Changes, o CaptureOptions) (*capture, error) {
	k, err := newCapture(c, o)
	if err == nil {
		err = k.collect(ctx)
	}
	if err == nil {
		k.prune()
		err = k.matchPyc()
	}
	if err != nil {
		return nil, fmt.Errorf("capture changes: %w", err)
	}
	return k, nil
}

// change is an entry of the tree that may become one of the layer.
type change struct {
	path    string
	host    string
	info    fs.FileInfo
	lower   *found // what was there before; nil for nothing
	deleted bool
	opaque  bool // a directory that hides lower ones on disk
	fresh   bool // a directory that is not the one that was there, or what is in one
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
	setgid map[string]int  // directories that give new files their group
	list   []*change
}

// inode tells hard links of one file.
type inode struct{ dev, ino uint64 }

func newCapture(c Changes, o CaptureOptions) (*capture, error) {
	k := &capture{
		c: c, o: o, root: c.Upper, lower: newStack(c.Lowers, c.Tables), table: OwnerTable{},
		skip: map[string]bool{}, leads: map[string]bool{}, setgid: map[string]int{},
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
	if err := k.walk(ctx, ".", within{}); err != nil {
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

// joinLinks finds names of one file among what goes into the layer. A new name
// of a file that is otherwise as it was is a file of its own, as in BuildKit.
func (k *capture) joinLinks() {
	first := map[inode]*change{}
	for _, c := range k.list {
		if !c.linked || !c.emit {
			continue
		}
		if f := first[c.inode]; f != nil {
			c.linkTo = f
			continue
		}
		first[c.inode] = c
	}
}

// name is the path of the entry in the layer.
func (c *change) name() string {
	if c.deleted {
		return Whiteout(c.path).Path
	}
	return c.path
}

// within says of a directory what the directories above it said.
type within struct {
	hides bool // on disk it hides what lower trees have in it
	fresh bool
}

// walk looks at a directory.
func (k *capture) walk(ctx context.Context, dir string, w within) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	entries, err := os.ReadDir(path.Join(k.root, dir))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, d := range entries {
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen[d.Name()] = true
		c := &change{path: path.Join(dir, d.Name()), info: info, fresh: w.fresh}
		c.host = path.Join(k.root, c.path)
		if err := k.look(c); err != nil {
			return fmt.Errorf("/%s: %w", c.path, err)
		}
		if info.IsDir() && !k.skip[c.path] { // what is below was lent, if it is a copy
			if err := k.walk(ctx, c.path, within{w.hides || c.opaque, c.fresh}); err != nil {
				return err
			}
		}
	}
	if w.hides {
		return k.hidden(dir, seen)
	}
	return nil
}

// hidden notes what lower trees have in a directory that hides it.
func (k *capture) hidden(dir string, seen map[string]bool) error {
	names, err := k.lower.names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if p := path.Join(dir, name); !seen[name] && !k.skip[p] {
			k.list = append(k.list, &change{path: p, host: path.Join(k.root, p), deleted: true, emit: true})
		}
	}
	return nil
}

// look decides what became of one entry and notes it.
func (k *capture) look(c *change) error {
	if c.info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	f, ok, err := k.lower.lstat(c.path)
	if err != nil {
		return err
	}
	if ok {
		c.lower = &f
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
	if k.before == nil || c.info.IsDir() || c.fresh {
		return false
	}
	was, ok := k.before[c.path]
	return ok && was == snapshotOf(c.path, c.info)
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
				f := Whiteout(c.path)
				f.Time = k.o.Time
				if !yield(f, nil) {
					return
				}
				continue
			}
			if !yield(k.file(c), nil) {
				return
			}
		}
	}
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
