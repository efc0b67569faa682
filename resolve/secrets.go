package resolve

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/kanso-build/kanso/layers/secrets"
)

// secretLimit is how much of a file is read to look for secrets before anything
// is built, in bytes. Whatever goes into a layer is looked through there.
const secretLimit = 64 << 10

// lookForSecrets notes what is a secret in a file that goes in, if it is one of
// those that often are: to hear of it before anything is installed.
func (w *walker) lookForSecrets(p string, info fs.FileInfo) error {
	if !secrets.Likely(p) || secrets.Allowed(secrets.Finding{Path: p}, slashed(w.o.Allow)) {
		return nil
	}
	f, err := os.Open(filepath.Join(w.o.Root, filepath.FromSlash(p)))
	if err != nil {
		return err
	}
	defer f.Close()
	scan := secrets.NewScanner()
	scan.File(p)
	if _, err := io.Copy(scan, io.LimitReader(f, min(secretLimit, info.Size()))); err != nil {
		return err
	}
	w.secrets = append(w.secrets, scan.Found()...)
	return nil
}

// slashed are paths of the machine with slashes.
func slashed(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = path.Clean(filepath.ToSlash(p))
	}
	return out
}

// judge refuses the secrets that were found, or warns of them.
func (w *walker) judge() error {
	if len(w.secrets) == 0 {
		return nil
	}
	if !w.o.WarnOfSecrets {
		return &secrets.Error{Found: w.secrets}
	}
	for _, f := range w.secrets {
		w.set.Warnings = append(w.set.Warnings, fmt.Sprintf("a secret goes in: %s", f))
	}
	return nil
}
