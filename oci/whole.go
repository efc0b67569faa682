package oci

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteWhole writes a file, with mode 0644, that is there whole or not at all:
// beside its place, whence it is moved. A link in its place is followed. What is
// there and no regular file, as a device, a pipe or /dev/stdout, is not replaced:
// it is written to as it comes.
func WriteWhole(file string, write func(w io.Writer) error) error {
	switch info, serr := os.Stat(file); {
	case errors.Is(serr, fs.ErrNotExist):
	case serr != nil:
		return serr
	case !info.Mode().IsRegular():
		return writeInto(file, write)
	default:
		real, lerr := filepath.EvalSymlinks(file)
		if lerr != nil { // as that of a descriptor whose file has no name any more
			return writeInto(file, write)
		}
		file = real
	}
	return writeBeside(file, write)
}

// writeBeside is WriteWhole, and replaces whatever is there.
func writeBeside(file string, write func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644) // who may not read it says the directory
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// writeInto writes to what is there.
func writeInto(file string, write func(w io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
