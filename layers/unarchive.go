package layers

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OpenArchive looks at the beginning of a stream and returns it uncompressed
// (gzip, bzip2, xz, zstd or nothing), and whether it is a tar; its name does not
// count. Close it to let go of the
// decompressor; r itself stays open.
func OpenArchive(r io.Reader) (in io.ReadCloser, isTar bool, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, err := br.Peek(len(xzMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("read archive: %w", err)
	}
	var z io.ReadCloser
	switch {
	case strings.HasPrefix(string(magic), "BZh"):
		z = io.NopCloser(bzip2.NewReader(br))
	case string(magic) == xzMagic:
		x, err := newXz(br)
		if err != nil {
			return nil, false, fmt.Errorf("decompress archive: %w", err)
		}
		z = io.NopCloser(x)
	default:
		if z, err = Decompress(br); err != nil {
			return nil, false, err
		}
	}
	head := bufio.NewReaderSize(z, 64<<10)
	block, err := head.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("read archive: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{head, z}, len(block) == 512 && isTarHeader(block), nil
}

// isTarHeader says whether a block begins a tar: its checksum is right, or it is
// all zero, as in an empty one.
func isTarHeader(block []byte) bool {
	const at, size = 148, 8 // of the checksum, which counts as spaces
	sum, empty := int64(size*' '), true
	for i, b := range block {
		empty = empty && b == 0
		if i < at || i >= at+size {
			sum += int64(b)
		}
	}
	want, err := strconv.ParseInt(strings.Trim(string(block[at:at+size]), " \x00"), 8, 64)
	return empty || err == nil && want == sum
}

// UnpackArchive unpacks an uncompressed tar, one that is no layer, into a new
// directory, as files of whoever runs the program. What is no file, directory
// or link is left out, and the names of that are returned. Nothing is written
// outside the directory, whatever links or names the tar has: an entry behind a
// link that leads out is an error. Of entries with one path the last counts.
func UnpackArchive(ctx context.Context, r io.Reader, dir string) (left []string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("unpack archive: %w", err)
	}
	return unpackArchive(ctx, r, dir, false)
}

// UnpackOver is [UnpackArchive] into a directory that may be there, with other
// files, and with the times of the tar. A file in the way of one of the tar's is
// replaced.
func UnpackOver(ctx context.Context, r io.Reader, dir string) (left []string, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("unpack archive: %w", err)
	}
	return unpackArchive(ctx, r, dir, true)
}

func unpackArchive(ctx context.Context, r io.Reader, dir string, times bool) (left []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack archive: %w", err)
	}
	defer root.Close()
	u := unarchiver{root: root, dirs: map[string]dirAtEnd{}, times: times}
	var size int64
	limits := Limits{}.filled()
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		size += h.Size
		if err := limits.check(h, n, size); err != nil {
			return nil, err
		}
		if err := u.entry(h, tr); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", inRoot(h.Name), err)
		}
	}
	return u.left, u.finish()
}

type unarchiver struct {
	root *os.Root
	dirs map[string]dirAtEnd
	left []string

	times bool // those of the tar are kept
}

// dirAtEnd is what a directory gets at the end: until then it is writable.
type dirAtEnd struct {
	mode fs.FileMode
	time time.Time // zero if it is none of the tar's
}

func (u *unarchiver) entry(h *tar.Header, content io.Reader) error {
	name := inRoot(h.Name)
	mode := h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if name == "." {
		return nil
	}
	if err := u.parents(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(name, dirAtEnd{mode, h.ModTime})
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeSymlink, tar.TypeLink:
	case tar.TypeXGlobalHeader:
		return nil
	default:
		u.left = append(u.left, name)
		return nil
	}
	if err := u.clear(name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return u.root.Link(inRoot(h.Linkname), name)
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil && u.times {
		err = u.root.Chtimes(name, h.ModTime, h.ModTime)
	}
	return err
}

// parents makes the directories that the tar has no entries for.
func (u *unarchiver) parents(dir string) error {
	if dir == "." {
		return nil
	}
	_, err := u.root.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := u.parents(path.Dir(dir)); err != nil {
		return err
	}
	u.dirs[dir] = dirAtEnd{mode: 0o755}
	return u.root.Mkdir(dir, 0o700)
}

func (u *unarchiver) directory(name string, end dirAtEnd) error {
	info, err := u.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = u.clear(name)
		info = nil
	}
	if info == nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		err = u.root.Mkdir(name, 0o700)
	}
	if err == nil && info != nil {
		err = u.root.Chmod(name, info.Mode().Perm()|0o700) // one that was there before may not be writable
	}
	u.dirs[name] = end
	return err
}

// clear makes room for an entry.
func (u *unarchiver) clear(name string) error {
	if _, err := u.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for dir := range u.dirs {
		if dir == name || strings.HasPrefix(dir, name+"/") {
			delete(u.dirs, dir)
		}
	}
	return u.root.RemoveAll(name)
}

// finish sets the modes of directories, the deepest first.
func (u *unarchiver) finish() error {
	names := make([]string, 0, len(u.dirs))
	for name := range u.dirs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		end := u.dirs[name]
		err := u.root.Chmod(name, end.mode)
		if err == nil && u.times && !end.time.IsZero() {
			err = u.root.Chtimes(name, end.time, end.time)
		}
		if err != nil {
			return fmt.Errorf("unpack archive: %w", err)
		}
	}
	return nil
}
