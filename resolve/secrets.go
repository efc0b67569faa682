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

// secrets are those in a file that goes in, if it is one of those that often have
// some: to hear of them before anything is installed.
func (w *walker) secrets(p string, info fs.FileInfo) ([]secrets.Finding, error) {
	if !secrets.Likely(p) || secrets.Allowed(secrets.Finding{Path: p}, slashed(w.o.Allow)) {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(w.o.Root, filepath.FromSlash(p)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	scan := secrets.NewScanner()
	scan.File(p)
	if _, err := io.Copy(scan, io.LimitReader(f, min(secretLimit, info.Size()))); err != nil {
		return nil, err
	}
	return scan.Found(), nil
}

// slashed are paths of the machine with slashes.
func slashed(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = path.Clean(filepath.ToSlash(p))
	}
	return out
}

// judge refuses secrets that were found, or warns of them.
func (s *FileSet) judge(o FileOptions, found []secrets.Finding) error {
	if len(found) == 0 {
		return nil
	}
	if !o.WarnOfSecrets {
		return &secrets.Error{Found: found}
	}
	for _, f := range found {
		s.Warnings = append(s.Warnings, fmt.Sprintf("a secret goes in: %s", f))
	}
	return nil
}
