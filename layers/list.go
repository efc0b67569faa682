package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Limits bound what is accepted of a layer. Zero fields are our defaults,
// which are far above what real images have.
type Limits struct {
	Entries int   // number of entries
	Bytes   int64 // of all contents
	Name    int   // length of a path or link in bytes
}

func (l Limits) filled() Limits {
	if l.Entries == 0 {
		l.Entries = 5_000_000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 40
	}
	if l.Name == 0 {
		l.Name = 4096
	}
	return l
}

// check says whether the header of the entry number n, up to which the contents
// have so many bytes, is acceptable.
func (l Limits) check(h *tar.Header, n int, bytes int64) error {
	switch {
	case n >= l.Entries:
		return fmt.Errorf("layer has more than %d entries", l.Entries)
	case len(h.Name) > l.Name || len(h.Linkname) > l.Name:
		return fmt.Errorf("layer has a name of more than %d bytes", l.Name)
	case h.Size < 0 || bytes < 0 || bytes > l.Bytes:
		return fmt.Errorf("layer has more than %d bytes", l.Bytes)
	}
	return nil
}

// keptLimit is the size in bytes up to which a file's content is kept.
const keptLimit = 1 << 20

// kept says whether the content of a file goes into listings.
func kept(p string) bool { return p == "etc/passwd" || p == "etc/group" }

// List reads a layer, an uncompressed tar, and says what it holds.
func List(ctx context.Context, r io.Reader) (Listing, error) {
	return ListWithin(ctx, r, Limits{})
}

// ListWithin is [List] for a tar that may have less in it than a layer.
func ListWithin(ctx context.Context, r io.Reader, max Limits) (Listing, error) {
	return listTo(ctx, r, max, func(Entry) io.Writer { return io.Discard })
}

// ListTo is [List], and has the content of every regular file written to what
// also returns for it, in the order of the layer.
func ListTo(ctx context.Context, r io.Reader, also func(e Entry) io.Writer) (Listing, error) {
	return listTo(ctx, r, Limits{}, also)
}

func listTo(ctx context.Context, r io.Reader, max Limits, also func(e Entry) io.Writer) (Listing, error) {
	var list Listing
	buf := make([]byte, 64<<10)
	err := each(ctx, r, max, func(e Entry, _ *tar.Header, content io.Reader) error {
		c, to := list.begin(e, content), io.Discard
		if e.Mode.IsRegular() && !e.HardLink && !e.Whiteout && !e.Opaque {
			to = also(e)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{c}, buf); err != nil {
			return err
		}
		list.end(c)
		return nil
	})
	return list, err
}

// Each calls visit for every entry of a layer, an uncompressed tar, in order.
// content is that of a regular file and valid until visit returns. Nothing
// that visit does not read is held in memory.
func Each(ctx context.Context, r io.Reader, visit func(e Entry, content io.Reader) error) error {
	return each(ctx, r, Limits{}, func(e Entry, _ *tar.Header, content io.Reader) error { return visit(e, content) })
}

// each is [Each] with limits and headers.
func each(ctx context.Context, r io.Reader, max Limits, visit func(e Entry, h *tar.Header, content io.Reader) error) error {
	max = max.filled()
	tr := tar.NewReader(r)
	var bytes int64
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read layer: %w", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		bytes += h.Size
		if err := max.check(h, n, bytes); err != nil {
			return err
		}
		e, ok, err := entryOf(h)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := visit(e, h, tr); err != nil {
			return err
		}
	}
}

// entryOf reads a header. Entries that say nothing about files are not ok.
func entryOf(h *tar.Header) (e Entry, ok bool, err error) {
	e = Entry{Path: inRoot(h.Name), UID: h.Uid, GID: h.Gid, Link: h.Linkname, Time: h.ModTime.Unix()}
	dir, name := path.Split(e.Path)
	switch {
	case name == opaqueName:
		return Entry{Path: inRoot(dir), Opaque: true}, true, nil
	case strings.HasPrefix(name, whiteoutPrefix+whiteoutPrefix):
		return e, false, nil // aufs's own files
	case strings.HasPrefix(name, whiteoutPrefix):
		name = strings.TrimPrefix(name, whiteoutPrefix)
		if name == "" || name == "." || name == ".." {
			return e, false, fmt.Errorf("layer deletes %q", h.Name)
		}
		return Entry{Path: dir + name, Whiteout: true}, true, nil
	}
	if h.Uid < 0 || h.Gid < 0 {
		return e, false, fmt.Errorf("/%s has a negative owner", e.Path)
	}
	e.Mode, e.Xattrs = modeOf(h.Mode), xattrsOf(h)
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.Size = h.Size
	case tar.TypeLink:
		e.HardLink, e.Link = true, inRoot(h.Linkname)
	case tar.TypeSymlink:
		e.Mode |= fs.ModeSymlink
	case tar.TypeDir:
		e.Mode |= fs.ModeDir
	case tar.TypeFifo:
		e.Mode |= fs.ModeNamedPipe
	case tar.TypeChar:
		e.Mode |= fs.ModeDevice | fs.ModeCharDevice
		e.Major, e.Minor = h.Devmajor, h.Devminor
	case tar.TypeBlock:
		e.Mode |= fs.ModeDevice
		e.Major, e.Minor = h.Devmajor, h.Devminor
	case tar.TypeXGlobalHeader:
		return e, false, nil
	default:
		return e, false, fmt.Errorf("/%s is of the unknown type %q", e.Path, h.Typeflag)
	}
	return e, true, nil
}

// modeOf is the mode of a header without the type.
func modeOf(bits int64) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for bit, flag := range map[fs.FileMode]int64{fs.ModeSetuid: tarSetuid, fs.ModeSetgid: tarSetgid, fs.ModeSticky: tarSticky} {
		if bits&flag != 0 {
			mode |= bit
		}
	}
	return mode
}

// xattrsOf are the attributes of a header that belong to an image.
func xattrsOf(h *tar.Header) map[string][]byte {
	var attrs map[string][]byte
	for record, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(record, xattrPrefix); ok && portable(name) {
			if attrs == nil {
				attrs = map[string][]byte{}
			}
			attrs[name] = []byte(value)
		}
	}
	return attrs
}
