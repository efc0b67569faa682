package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// UnpackOptions say how a layer is unpacked.
type UnpackOptions struct {
	// Owners says how owners are kept.
	Owners Owners
	// Below are the trees of the layers below, the topmost first: directories
	// that the layer has no entry for are as they are there, and links in
	// their places are followed.
	Below []string
	// Max bounds what is accepted.
	Max Limits
}

// Unpack unpacks a layer, an uncompressed tar, into a tree: a directory with
// the files in "fs", in the form in which overlayfs takes lower directories,
// and the owners that the files cannot carry in "owners.json". The directory
// must be empty. On error what was written stays there, for the caller to
// remove. Nothing is written outside the directory, whatever links or names
// the layer has. Of entries with one path the last counts.
func Unpack(ctx context.Context, r io.Reader, dir string, o UnpackOptions) (Listing, error) {
	return newUnpacker(dir, o).layer(ctx, r, dir)
}

func newUnpacker(dir string, o UnpackOptions) *unpacker {
	return &unpacker{
		root: TreeFiles(dir), o: o, table: OwnerTable{}, dirs: map[string]dirState{}, real: map[string]string{}, gone: map[string]bool{},
		buf: make([]byte, 256<<10),
	}
}

// layer unpacks a layer into a new tree.
func (u *unpacker) layer(ctx context.Context, r io.Reader, dir string) (Listing, error) {
	if err := os.Mkdir(u.root, 0o755); err != nil {
		return Listing{}, fmt.Errorf("unpack layer: %w", err)
	}
	var list Listing
	err := each(ctx, r, u.o.Max, func(e Entry, h *tar.Header, content io.Reader) error {
		c := list.begin(e, content)
		if err := u.entry(e, h, c); err != nil {
			return fmt.Errorf("unpack /%s: %w", e.Path, err)
		}
		list.end(c)
		return nil
	})
	if err == nil {
		err = u.finish()
	}
	if err == nil {
		err = u.table.write(TreeTable(dir))
	}
	return list, err
}

type unpacker struct {
	root  string
	o     UnpackOptions
	table OwnerTable
	dirs  map[string]dirState // directories whose modes and times are set at the end
	real  map[string]string   // directories as entries name them → where they lie
	gone  map[string]bool     // what the layer deletes: a directory there hides what is below it
	apart *Apart              // not nil if the layers below are not known
	buf   []byte
}

// dirState is what a directory gets at the end: until then it is writable.
type dirState struct {
	mode fs.FileMode
	time time.Time
}

// host is where a path of the layer lies on disk. Its parents are directories
// that were looked at, not links.
func (u *unpacker) host(p string) string { return filepath.Join(u.root, filepath.FromSlash(p)) }

func (u *unpacker) entry(e Entry, h *tar.Header, content io.Reader) error {
	if e.Path == "." {
		return u.rootEntry(e, h)
	}
	dir, name := path.Split(e.Path)
	if e.Opaque {
		real, err := u.parent(e.Path)
		if err != nil {
			return err
		}
		return u.hide(real)
	}
	real, err := u.parent(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	at := path.Join(real, name)
	if e.Whiteout {
		return u.whiteout(at)
	}
	if e.Mode.IsRegular() && !e.HardLink {
		return u.file(e, h, at, content)
	}
	if err := u.clear(at, e.Mode.IsDir() && !e.HardLink); err != nil {
		return err
	}
	return u.make(e, h, at)
}

// opaqueXattr marks a directory that hides what is below it, for overlayfs
// mounted with userxattr.
const opaqueXattr = "user.overlay.opaque"

func (u *unpacker) rootEntry(e Entry, h *tar.Header) error {
	if !e.Mode.IsDir() {
		return errors.New("the root is not a directory")
	}
	u.dirs["."] = dirState{e.Mode, h.ModTime}
	return u.own(e, ".")
}

// whiteout hides a path, unless the layer itself has something there.
func (u *unpacker) whiteout(at string) error {
	u.gone[at] = true
	if info, err := os.Lstat(u.host(at)); err == nil {
		if info.IsDir() {
			return u.hide(at)
		}
		return nil
	}
	return markWhiteout(u.host(at))
}

// hide makes a directory hide what is below it.
func (u *unpacker) hide(at string) error {
	return unix.Lsetxattr(u.host(at), opaqueXattr, []byte("y"), 0)
}

// clear makes room for an entry. A directory stays where one is to be.
func (u *unpacker) clear(at string, isDir bool) error {
	info, err := os.Lstat(u.host(at))
	if errors.Is(err, fs.ErrNotExist) {
		delete(u.table, at)
		return nil
	}
	if err != nil {
		return err
	}
	if isDir && info.IsDir() {
		return nil
	}
	if info.IsDir() {
		for p := range u.dirs {
			if p == at || strings.HasPrefix(p, at+"/") {
				delete(u.dirs, p)
				u.apart.told(p)
			}
		}
	}
	clear(u.real)
	for p := range u.table {
		if p == at || strings.HasPrefix(p, at+"/") {
			delete(u.table, p)
		}
	}
	return os.RemoveAll(u.host(at))
}

// make makes the file of an entry, if it is no regular one.
func (u *unpacker) make(e Entry, h *tar.Header, at string) error {
	host := u.host(at)
	if e.HardLink {
		return u.link(e, at)
	}
	switch e.Mode.Type() {
	case fs.ModeDir:
		return u.directory(e, h, at)
	case fs.ModeSymlink:
		if err := os.Symlink(e.Link, host); err != nil {
			return err
		}
	case fs.ModeNamedPipe:
		if err := unix.Mkfifo(host, uint32(e.Mode.Perm())); err != nil {
			return err
		}
	default:
		return u.device(e, h, at)
	}
	if err := u.own(e, at); err != nil {
		return err
	}
	if e.Mode.Type() != fs.ModeSymlink {
		// After the owner, whose change clears setuid.
		if err := unix.Chmod(host, uint32(tarMode(e.Mode))); err != nil {
			return err
		}
	}
	if err := xattrs(host, h); err != nil {
		return err
	}
	return setTime(host, h.ModTime)
}

// directory makes a directory, whose mode and time are set at the end.
func (u *unpacker) directory(e Entry, h *tar.Header, at string) error {
	err := os.Mkdir(u.host(at), 0o700)
	if errors.Is(err, fs.ErrExist) {
		err = u.disown(at)
	}
	if err != nil {
		return err
	}
	u.dirs[at] = dirState{e.Mode, h.ModTime}
	u.apart.told(at)
	if u.gone[at] {
		if err := u.hide(at); err != nil {
			return err
		}
	}
	if err := u.own(e, at); err != nil {
		return err
	}
	return xattrs(u.host(at), h)
}

// link makes another name of a file that came before. A file that only a layer
// below has is copied: a link cannot lead from one tree to another.
func (u *unpacker) link(e Entry, at string) error {
	dir, name := path.Split(e.Link)
	real, err := u.parent(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	from := path.Join(real, name)
	if entry, ok := u.table[from]; ok {
		u.table[at] = entry
	}
	err = os.Link(u.host(from), u.host(at))
	if err == nil {
		return u.ownLink(e, at)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if u.apart != nil {
		return ErrBelow
	}
	for _, tree := range u.o.Below {
		file := filepath.Join(TreeFiles(tree), filepath.FromSlash(from))
		if info, err := os.Lstat(file); err == nil && info.Mode().IsRegular() {
			return copyFile(file, u.host(at), info)
		}
	}
	return fmt.Errorf("it is a link to /%s, which is not there", e.Link)
}

// ownLink gives a file the owner that the entry of a further name says, as
// other programs do that unpack layers.
func (u *unpacker) ownLink(e Entry, at string) error {
	info, err := os.Lstat(u.host(at))
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if u.o.Owners == OwnersReal {
		if err := os.Lchown(u.host(at), e.UID, e.GID); err != nil {
			return err
		}
		return unix.Chmod(u.host(at), uint32(tarMode(info.Mode()))) // the change clears setuid
	}
	uid, gid, _, err := readOwner(u.host(at))
	if err != nil || uid == e.UID && gid == e.GID {
		return err
	}
	return setOwner(u.host(at), e.UID, e.GID, info.Mode())
}

// device makes a device where that is allowed; else the table knows of it.
func (u *unpacker) device(e Entry, h *tar.Header, at string) error {
	typ := uint32(unix.S_IFBLK)
	if e.Mode&fs.ModeCharDevice != 0 {
		typ = unix.S_IFCHR
	}
	entry := OwnerEntry{UID: e.UID, GID: e.GID, Mode: e.Mode, Major: h.Devmajor, Minor: h.Devminor}
	if h.Devmajor == 0 && h.Devminor == 0 { // overlayfs would take it for a deletion
		u.table[at] = entry
		return nil
	}
	err := unix.Mknod(u.host(at), typ|uint32(e.Mode.Perm()), int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	if errors.Is(err, unix.EPERM) {
		u.table[at] = entry
		return nil
	}
	if err != nil {
		return err
	}
	if u.o.Owners == OwnersReal {
		return os.Lchown(u.host(at), e.UID, e.GID)
	}
	u.table[at] = entry
	return nil
}

// disown forgets the owner of a directory that is named again.
func (u *unpacker) disown(at string) error {
	if u.o.Owners == OwnersReal {
		return nil
	}
	err := unix.Lremovexattr(u.host(at), ownerXattr)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// own keeps the owner of an entry.
func (u *unpacker) own(e Entry, at string) error {
	if u.o.Owners == OwnersReal {
		return os.Lchown(u.host(at), e.UID, e.GID)
	}
	if e.UID == 0 && e.GID == 0 {
		return nil
	}
	if e.Mode.IsDir() || e.Mode.IsRegular() {
		return setOwner(u.host(at), e.UID, e.GID, e.Mode)
	}
	u.table[at] = OwnerEntry{UID: e.UID, GID: e.GID}
	return nil
}

// finish sets modes and times of directories, the deepest first.
func (u *unpacker) finish() error {
	if _, ok := u.dirs["."]; !ok {
		if err := u.implied("."); err != nil {
			return err
		}
	}
	return u.settle()
}

// settle sets the modes and times of directories.
func (u *unpacker) settle() error {
	paths := make([]string, 0, len(u.dirs))
	for p := range u.dirs {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range slices.Backward(paths) {
		d, host := u.dirs[p], u.host(p)
		if err := unix.Chmod(host, uint32(tarMode(d.mode))); err != nil {
			return fmt.Errorf("set mode of /%s: %w", p, err)
		}
		if err := setTime(host, d.time); err != nil {
			return fmt.Errorf("set time of /%s: %w", p, err)
		}
	}
	return nil
}

// implied gives the root, which most layers have no entry for, the state that
// it has below.
func (u *unpacker) implied(p string) error {
	if u.apart != nil {
		u.apart.ask(p)
	}
	if len(u.o.Below) == 0 {
		u.dirs[p] = dirState{mode: 0o755}
		return nil
	}
	from := TreeFiles(u.o.Below[0])
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	return u.likeBelow(p, from, info)
}
