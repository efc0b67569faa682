// Command pgzip reads the files of a directory once and compresses them as a
// tar with pgzip, as kanso does: what a builder cannot be faster than.
package main

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/pgzip"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pgzip:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	sum := sha256.New()
	z, err := pgzip.NewWriterLevel(sum, 3)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := t.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(os.Stdout, fmt.Sprintf("%x\n", sum.Sum(nil)))
	return err
}
