package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"github.com/kanso-build/kanso/layers"
)

// spool holds contents of files of tars in one temporary file, which has no
// name and goes with the process. A tar is read when the first of its files is
// opened, and once.
type spool struct {
	dir    string
	mu     sync.Mutex
	wanted map[string]*tarSource
	file   *os.File
	end    int64
}

// tarSource is a tar that files are wanted of.
type tarSource struct {
	open  func() (io.ReadCloser, error) // uncompressed
	at    map[string][2]int64           // path, or nth → offset and size in the spool; -1 until it was read
	ready bool
}

// want announces that a file will be opened. id stands for the tar.
func (s *spool) want(id, name string, open func() (io.ReadCloser, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == nil {
		s.wanted = map[string]*tarSource{}
	}
	if s.wanted[id] == nil {
		s.wanted[id] = &tarSource{open: open, at: map[string][2]int64{}}
	}
	s.wanted[id].at[name] = [2]int64{-1, 0}
}

func (s *spool) open(ctx context.Context, id, name string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.wanted[id]
	if t == nil {
		return nil, fmt.Errorf("nobody wanted /%s: %w", name, fs.ErrNotExist)
	}
	if !t.ready {
		if err := s.fill(ctx, t); err != nil {
			return nil, fmt.Errorf("read layer %s: %w", id, err)
		}
		t.ready = true
	}
	at, ok := t.at[name]
	if !ok || at[0] < 0 {
		return nil, fmt.Errorf("layer %s holds no /%s: %w", id, name, fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(s.file, at[0], at[1])), nil
}

// fill appends the wanted files of a tar.
func (s *spool) fill(ctx context.Context, t *tarSource) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "spool-")
		if err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
		s.file = f
	}
	r, err := t.open()
	if err != nil {
		return err
	}
	defer r.Close()
	seen, buf := map[string]int{}, make([]byte, 256<<10)
	err = layers.Each(ctx, r, func(e layers.Entry, content io.Reader) error {
		if !e.Mode.IsRegular() || e.HardLink || e.Whiteout || e.Opaque {
			return nil
		}
		one := nth(e.Path, seen[e.Path])
		seen[e.Path]++
		_, last := t.at[e.Path]
		if _, ok := t.at[one]; !ok && !last {
			return nil
		}
		n, err := io.CopyBuffer(io.NewOffsetWriter(s.file, s.end), struct{ io.Reader }{content}, buf)
		t.at[one] = [2]int64{s.end, n}
		if last {
			t.at[e.Path] = t.at[one]
		}
		s.end += n
		return err
	})
	if err == nil {
		err = finish(r)
	}
	return err
}

// nth names one of the files that a tar has at a path; the path alone names the
// last.
func nth(p string, n int) string { return p + "\x00" + strconv.Itoa(n) }

// close gives the disk space back. What was opened cannot be read any more.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.file.Close() // it was only read
		s.file = nil
	}
}
