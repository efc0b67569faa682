package resolve

import (
	"fmt"
	"os"
	"path/filepath"
)

// repositoryDir marks the root of a ZenML repository.
const repositoryDir = ".zen"

// SourceRoot returns the directory whose files go in, as ZenML chooses it: the
// one that ZENML_CUSTOM_SOURCE_ROOT names, else the repository that
// ZENML_REPOSITORY_PATH names or that dir is in, else the directory of the pipeline's main file, else dir. It is absolute and,
// for a repository, free of links. Relative paths are relative to dir.
func SourceRoot(dir, main string, env map[string]string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("source root: %w", err)
	}
	if err := isDir(dir); err != nil {
		return "", fmt.Errorf("source root: %w", err)
	}
	if custom := env["ZENML_CUSTOM_SOURCE_ROOT"]; custom != "" {
		root := from(dir, custom)
		if err := isDir(root); err != nil {
			return "", fmt.Errorf("source root of ZENML_CUSTOM_SOURCE_ROOT: %w", err)
		}
		return root, nil
	}
	if named := env["ZENML_REPOSITORY_PATH"]; named != "" {
		root := from(dir, named)
		if err := isDir(filepath.Join(root, repositoryDir)); err != nil {
			return "", fmt.Errorf("repository of ZENML_REPOSITORY_PATH: %w", err)
		}
		return filepath.EvalSymlinks(root)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if isDir(filepath.Join(at, repositoryDir)) == nil {
			return filepath.EvalSymlinks(at)
		}
		if filepath.Dir(at) != at {
			continue
		}
		if main == "" {
			return dir, nil
		}
		file, err := filepath.EvalSymlinks(from(dir, main))
		if err != nil {
			return "", fmt.Errorf("pipeline's main file: %w", err)
		}
		return filepath.Dir(file), nil
	}
}

// from is a path as seen from a directory.
func from(dir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

func isDir(p string) error {
	info, err := os.Stat(p)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", p)
	}
	return err
}
