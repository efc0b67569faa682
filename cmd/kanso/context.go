package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kanso-build/kanso/layers"
)

// A contextSource is a build context on disk with its Dockerfile.
type contextSource struct {
	dir    string // empty if it has no files
	file   string // what the Dockerfile is called
	text   []byte
	beside string   // where the Dockerfile is, if it is on disk
	whole  bool     // nothing of it is ignored
	left   []string // what of a tar was not unpacked
	remove func()   // removes what was unpacked
}

// dockerfileName is what a Dockerfile is called that has no name.
const dockerfileName = "Dockerfile"

// dockerfileLimit is the size in bytes that a Dockerfile may have.
const dockerfileLimit = 16 << 20

// openContext finds the context that the arguments name, and the Dockerfile in
// it or elsewhere. A context is a directory, a tar file, or "-": a tar on
// stdin, or else a Dockerfile without a context. Tars are unpacked below
// scratch.
func (a *app) openContext(ctx context.Context, file string, args []string, scratch string) (*contextSource, error) {
	where := "."
	if len(args) > 0 {
		where = args[0]
	}
	s := &contextSource{file: file, remove: func() {}}
	switch {
	case isRemote(where):
		return nil, hinted(usagef("context %s: kanso fetches no context: want a directory, a tar file or -", where),
			"git clone it, or curl -L URL | kanso build -f "+dockerfileName+" -")
	case where == "-" && file == "-":
		return nil, usagef("context and Dockerfile cannot both come from stdin")
	case where == "-":
		return s, a.openStdin(ctx, s, scratch)
	}
	info, err := os.Stat(where)
	if err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	if !info.IsDir() {
		return s, a.openTarFile(ctx, s, where, scratch)
	}
	if s.dir, err = filepath.Abs(where); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	if file == "-" {
		s.file = dockerfileName
		s.text, err = readLimited(a.stdin)
		return s, err
	}
	if s.beside, err = filepath.Abs(file); err != nil {
		return nil, fmt.Errorf("dockerfile: %w", err)
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		inside := filepath.Join(where, file)
		if _, e := os.Stat(inside); e == nil && !filepath.IsAbs(file) {
			return nil, hinted(fmt.Errorf("dockerfile: %w", err), "a Dockerfile is named as seen from here, not from its context: -f "+inside)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("dockerfile: %w", err)
	}
	defer f.Close()
	s.text, err = readLimited(f)
	return s, err
}

// openStdin reads a tar, or a Dockerfile without a context.
func (a *app) openStdin(ctx context.Context, s *contextSource, scratch string) error {
	in, isTar, err := layers.OpenArchive(a.stdin)
	if err != nil {
		return fmt.Errorf("context on stdin: %w", err)
	}
	defer in.Close()
	if isTar {
		return s.unpack(ctx, in, scratch)
	}
	if s.file != dockerfileName {
		return hinted(usagef("-f %s: what comes on stdin is no tar that it could be in", s.file),
			"a Dockerfile alone is read with -f "+dockerfileName+" -, or with -f - and a directory")
	}
	s.text, err = readLimited(in)
	return err
}

func (a *app) openTarFile(ctx context.Context, s *contextSource, name, scratch string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("context: %w", err)
	}
	defer f.Close()
	in, isTar, err := layers.OpenArchive(f)
	if err != nil {
		return fmt.Errorf("context %s: %w", name, err)
	}
	defer in.Close()
	if !isTar {
		return fmt.Errorf("context %s: it is neither a directory nor a tar", name)
	}
	if s.file == "-" {
		s.file = dockerfileName
		if s.text, err = readLimited(a.stdin); err != nil {
			return err
		}
	}
	return s.unpack(ctx, in, scratch)
}

// unpack makes a directory of a tar, all of which is context, as for BuildKit,
// and reads the Dockerfile in it unless that is known.
func (s *contextSource) unpack(ctx context.Context, in io.Reader, scratch string) error {
	tree, err := os.MkdirTemp(scratch, "context-")
	if err != nil {
		return fmt.Errorf("unpack context: %w", err)
	}
	s.remove = func() { _ = layers.RemoveAll(tree) }
	s.dir, s.whole = filepath.Join(tree, "files"), true
	s.left, err = layers.UnpackArchive(ctx, in, s.dir)
	if err == nil && s.text == nil {
		s.text, err = readInside(s.dir, s.file)
	}
	if err != nil {
		s.remove()
		return fmt.Errorf("context: %w", err)
	}
	return nil
}

// readInside reads a file of a directory; links are followed only inside it.
func readInside(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(strings.TrimLeft(name, "/"))
	if err != nil {
		return nil, fmt.Errorf("dockerfile: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("dockerfile: %s is not a file", name)
	}
	f, err := root.Open(strings.TrimLeft(name, "/"))
	if err != nil {
		return nil, fmt.Errorf("dockerfile: %w", err)
	}
	defer f.Close()
	return readLimited(f)
}

// readLimited reads a Dockerfile.
func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, dockerfileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("dockerfile: %w", err)
	}
	if len(data) > dockerfileLimit {
		return nil, fmt.Errorf("dockerfile: it has more than %d MiB", dockerfileLimit>>20)
	}
	return data, nil
}

// isRemote says whether a context is one that Docker would fetch.
func isRemote(where string) bool {
	for _, prefix := range []string{"http://", "https://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(where, prefix) {
			return true
		}
	}
	return false
}

// isDir is an error unless there is a directory.
func isDir(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", name)
	}
	return err
}

// A hintedError is an error with what to do about it.
type hintedError struct {
	error
	hint string
}

func hinted(err error, hint string) error { return &hintedError{err, hint} }

// Hint says what to do about the error.
func (e *hintedError) Hint() string { return e.hint }

func (e *hintedError) Unwrap() error { return e.error }
