package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/kanso-build/kanso/layers/cache"
)

// packages says where a package manager keeps downloads between builds: in a
// directory of its own below mount, for all projects, or for this one in the cache.
func packages(mount string, dir *cache.Dir, project string) func(manager string) (string, error) {
	if mount == "" {
		return func(manager string) (string, error) { return dir.Packages(project, manager) }
	}
	return func(manager string) (string, error) {
		place, err := filepath.Abs(filepath.Join(mount, manager))
		if err != nil {
			return "", fmt.Errorf("--cache-mount: %w", err)
		}
		if err := os.MkdirAll(place, 0o700); err != nil {
			return "", fmt.Errorf("--cache-mount: %w", err)
		}
		return place, nil
	}
}
