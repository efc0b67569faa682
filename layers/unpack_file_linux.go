package layers

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// file makes the regular file of an entry. There are many: what can be done of
// one that is open spares the way to it, and looking what is in its place is
// left until something is.
func (u *unpacker) file(e Entry, h *tar.Header, at string, content io.Reader) error {
	host := u.host(at)
	f, err := createNew(host)
	switch {
	case errors.Is(err, fs.ErrExist):
		if err := u.clear(at, false); err != nil {
			return err
		}
		f, err = createNew(host)
	case err == nil:
		delete(u.table, at)
	}
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{content}, u.buf)
	if err == nil {
		err = u.ownFile(e, at, f)
	}
	if err == nil { // after the owner, whose change clears setuid
		err = unix.Fchmod(int(f.Fd()), uint32(tarMode(e.Mode)))
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = xattrs(host, h)
	}
	if err != nil {
		return err
	}
	return setTime(host, h.ModTime)
}

func createNew(host string) (*os.File, error) {
	return os.OpenFile(host, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// ownFile keeps the owner of a regular file, which is changed only if it is
// another one.
func (u *unpacker) ownFile(e Entry, at string, f *os.File) error {
	if u.o.Owners != OwnersReal {
		return u.own(e, at)
	}
	var is unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &is); err != nil {
		return err
	}
	if int(is.Uid) == e.UID && int(is.Gid) == e.GID {
		return nil
	}
	return f.Chown(e.UID, e.GID)
}
