package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrChanged is wrapped by the error for a file that changed while it was read.
var ErrChanged = errors.New("file changed while it was read")

// sameFile is a file that must be, when it is closed, the one that was looked
// at before it was opened.
type sameFile struct {
	*os.File
	before fs.FileInfo
}

func openSame(file string, before fs.FileInfo) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	return sameAs(f, before)
}

// sameAs is a file that was opened, if it is the one that was looked at.
func sameAs(f *os.File, before fs.FileInfo) (io.ReadCloser, error) {
	s := &sameFile{f, before}
	if err := s.check(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *sameFile) check() error {
	now, err := s.Stat()
	if err != nil {
		return err
	}
	if !sameInfo(now, s.before) {
		return fmt.Errorf("%s: %w", s.Name(), ErrChanged)
	}
	return nil
}

// sameInfo says whether a file looks as it did.
func sameInfo(now, before fs.FileInfo) bool {
	return os.SameFile(now, before) && now.Size() == before.Size() && now.ModTime().Equal(before.ModTime())
}

func (s *sameFile) Close() error {
	err := s.check()
	if e := s.File.Close(); err == nil {
		err = e
	}
	return err
}

// hashedFile must have, once it was read to its end, the content that it had when
// it was hashed: a file may change and look the same, within the resolution of its
// file system's clock or because somebody sets its time.
type hashedFile struct {
	io.ReadCloser
	name  string
	w     io.Writer // takes what is read
	same  func() bool
	whole bool
}

// hashed is a file with what its content hashed to; without that it stays as it
// is.
func (b *Builder) hashed(r io.ReadCloser, err error, name, want string) (io.ReadCloser, error) {
	if err != nil || want == "" {
		return r, err
	}
	if print, ok := b.prints.of(want); ok {
		f := b.prints.begin()
		return &hashedFile{r, name, f, func() bool { return f.Sum64() == print }, false}, nil
	}
	h := sha256.New()
	return &hashedFile{r, name, h, func() bool { return hex.EncodeToString(h.Sum(nil)) == want }, false}, nil
}

func (f *hashedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	_, _ = f.w.Write(p[:n]) // it takes everything
	f.whole = f.whole || errors.Is(err, io.EOF)
	return n, err
}

func (f *hashedFile) Close() error {
	err := f.ReadCloser.Close()
	if err == nil && f.whole && !f.same() {
		return fmt.Errorf("%s: %w", f.name, ErrChanged)
	}
	return err
}
