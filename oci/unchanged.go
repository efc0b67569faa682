package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
	name, want string
	h          hash.Hash
	whole      bool
}

// hashed is a file with what its content hashed to; without that it stays as it
// is.
func hashed(r io.ReadCloser, err error, name, want string) (io.ReadCloser, error) {
	if err != nil || want == "" {
		return r, err
	}
	return &hashedFile{r, name, want, sha256.New(), false}, nil
}

func (f *hashedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.h.Write(p[:n])
	f.whole = f.whole || errors.Is(err, io.EOF)
	return n, err
}

func (f *hashedFile) Close() error {
	err := f.ReadCloser.Close()
	if err == nil && f.whole && hex.EncodeToString(f.h.Sum(nil)) != f.want {
		return fmt.Errorf("%s: %w", f.name, ErrChanged)
	}
	return err
}
