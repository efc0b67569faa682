package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// stack looks paths up in several trees as overlayfs does.
type stack struct {
	roots  []string
	files  []string // of owner tables, for the same trees; may be shorter
	tables map[int]OwnerTable
	dirs   map[string][]seen // directories of the image → those that show there
}

// seen is a directory on disk that shows at a path, and the number of its tree.
type seen struct {
	tree int
	host string
}

// found is a file of a lower tree.
type found struct {
	seen
	info fs.FileInfo
}

func newStack(roots, tables []string) *stack {
	s := &stack{roots: roots, files: tables, tables: map[int]OwnerTable{}, dirs: map[string][]seen{}}
	for i, r := range roots {
		s.dirs["."] = append(s.dirs["."], seen{i, r})
		if isOpaque(r) {
			break
		}
	}
	return s
}

// visible returns the directories that make up a directory of the image, the
// topmost first; none if it is not one.
func (s *stack) visible(dir string) ([]seen, error) {
	if list, ok := s.dirs[dir]; ok {
		return list, nil
	}
	above, err := s.visible(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	var list []seen
	for _, d := range above {
		host := filepath.Join(d.host, path.Base(dir))
		info, err := os.Lstat(host)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			break
		}
		list = append(list, seen{d.tree, host})
		if isOpaque(host) {
			break
		}
	}
	s.dirs[dir] = list
	return list, nil
}

// lstat looks up a path; its parents are directories as they are named.
func (s *stack) lstat(p string) (found, bool, error) {
	if p == "." {
		if len(s.roots) == 0 {
			return found{}, false, nil
		}
		info, err := os.Lstat(s.roots[0])
		return found{seen{0, s.roots[0]}, info}, err == nil, err
	}
	dirs, err := s.visible(path.Dir(p))
	if err != nil {
		return found{}, false, err
	}
	for _, d := range dirs {
		host := filepath.Join(d.host, path.Base(p))
		info, err := os.Lstat(host)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found{}, false, err
		}
		if isWhiteout(host, info) {
			break
		}
		return found{seen{d.tree, host}, info}, true, nil
	}
	return found{}, false, nil
}

// names are the entries that show in a directory, in no order.
func (s *stack) names(dir string) ([]string, error) {
	dirs, err := s.visible(dir)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	var names []string
	for _, d := range dirs {
		entries, err := os.ReadDir(d.host)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if done[e.Name()] {
				continue
			}
			done[e.Name()] = true
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			if !isWhiteout(filepath.Join(d.host, e.Name()), info) {
				names = append(names, e.Name())
			}
		}
	}
	return names, nil
}

// owner is the owner of a file of a tree at a path.
func (s *stack) owner(f found, p string, how Owners) (uid, gid int, err error) {
	if how == OwnersReal {
		uid, gid, _, _ = stat(f.info)
		return uid, gid, nil
	}
	if f.info.IsDir() || f.info.Mode().IsRegular() {
		uid, gid, _, err = readOwner(f.host)
		return uid, gid, err
	}
	t, ok := s.tables[f.tree]
	if !ok && f.tree < len(s.files) {
		if t, err = ReadOwnerTable(s.files[f.tree]); err != nil {
			return 0, 0, fmt.Errorf("tree %d: %w", f.tree, err)
		}
		s.tables[f.tree] = t
	}
	return t[p].UID, t[p].GID, nil
}
