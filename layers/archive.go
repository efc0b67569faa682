package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
)

// A Member is a regular file of a tar, or a link to one, and where its content
// lies in it.
type Member struct {
	Name         string // clean, relative
	Link         string // of a link: the name of the member it stands for
	Offset, Size int64  // in bytes
}

// Index returns the members of an uncompressed tar by name, for reading them
// in place. Of members with one name the last counts. Sparse files are an
// error.
func Index(r io.ReadSeeker) (map[string]Member, error) {
	all := map[string]Member{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		m := Member{Name: inRoot(h.Name), Size: h.Size}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeSymlink:
			m.Link = inRoot("/" + m.Name + "/../" + h.Linkname)
		case tar.TypeLink:
			m.Link = inRoot(h.Linkname)
		case tar.TypeGNUSparse:
			return nil, fmt.Errorf("read archive: %s is sparse", m.Name)
		default:
			continue
		}
		if m.Offset, err = r.Seek(0, io.SeekCurrent); err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		all[m.Name] = m
	}
}
