package layers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes a directory and what is in it, also what is in directories
// that nobody may enter. A directory that is not there is no error.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(p, 0o700) // before it is read
		}
		return nil
	})
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("remove tree: %w", err)
	}
	return nil
}
