package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"
	"time"
)

// ErrSize is wrapped by the error for a file whose content has another size
// than its entry says.
var ErrSize = errors.New("file changed while it was read")

// Write writes a layer as a tar, with its end, in the order in which the files
// come. The same files give the same bytes: nothing of the machine, the user or
// the clock goes in. Headers are those of USTAR where it can hold them, else of
// PAX. A File whose content is shorter or longer than its size is an error that
// wraps [ErrSize].
func Write(ctx context.Context, w io.Writer, files iter.Seq2[File, error]) error {
	tw := tar.NewWriter(w)
	buf := make([]byte, 256<<10)
	for f, err := range files {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := writeFile(tw, f, buf); err != nil {
			return fmt.Errorf("write /%s: %w", f.Path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("write end of layer: %w", err)
	}
	return nil
}

func writeFile(tw *tar.Writer, f File, buf []byte) error {
	h, err := header(f)
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg || f.Open == nil {
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{tw}, struct{ io.Reader }{r}, buf)
	if e := r.Close(); err == nil {
		err = e
	}
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != f.Size {
		return ErrSize
	}
	return err
}

// header is the only place where headers are made.
func header(f File) (*tar.Header, error) {
	if f.Path == "" || f.Path == ".." || path.IsAbs(f.Path) || strings.HasPrefix(f.Path, "../") {
		return nil, fmt.Errorf("path %q is not one within an image", f.Path)
	}
	h := &tar.Header{
		Name: f.Path, Linkname: f.Link, Mode: tarMode(f.Mode), Uid: f.UID, Gid: f.GID,
		ModTime: f.Time.Truncate(time.Second), Devmajor: f.Major, Devminor: f.Minor,
	}
	if f.Time.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	switch f.Mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, f.Path+"/"
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
	case fs.ModeNamedPipe:
		h.Typeflag = tar.TypeFifo
	case fs.ModeDevice:
		h.Typeflag = tar.TypeBlock
	case fs.ModeDevice | fs.ModeCharDevice:
		h.Typeflag = tar.TypeChar
	case 0:
		h.Typeflag, h.Size = tar.TypeReg, f.Size
	default:
		return nil, fmt.Errorf("a layer cannot hold a file of type %s", f.Mode.Type())
	}
	if f.HardLink {
		h.Typeflag, h.Size = tar.TypeLink, 0
	}
	for k, v := range f.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrPrefix+k] = v
	}
	return h, nil
}

// xattrPrefix stands before the names of extended attributes in PAX records.
const xattrPrefix = "SCHILY.xattr."

// The bits of a tar header's mode beside the permissions.
const (
	tarSetuid = 0o4000
	tarSetgid = 0o2000
	tarSticky = 0o1000
)

// tarMode is the mode of a header: permissions and the three special bits.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	for bit, flag := range map[fs.FileMode]int64{fs.ModeSetuid: tarSetuid, fs.ModeSetgid: tarSetgid, fs.ModeSticky: tarSticky} {
		if m&bit != 0 {
			mode |= flag
		}
	}
	return mode
}
