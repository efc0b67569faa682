package oci

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/kanso-build/kanso/layers"
)

// at returns what is at a path of the source. Links are followed, inside the
// source, at its end only if the source is of the kind that patterns select of.
func (s *source) at(name string) (layers.Entry, error) {
	dir, base := path.Split(path.Clean("/" + name))
	real, err := s.view.Resolve(dir)
	if err == nil && s.single == nil {
		real, err = s.view.Resolve(path.Join("/", dir, base))
	} else {
		real = path.Join(real, base)
	}
	if err != nil {
		return layers.Entry{}, err
	}
	e, ok := s.view.Lstat(real)
	if !ok {
		return layers.Entry{}, fmt.Errorf("%q: %w", name, errMissing)
	}
	return e, nil
}

// matches returns the paths that a pattern matches. One without wildcards is
// its only match, whether it is there or not.
func (s *source) matches(pattern string) ([]string, error) {
	fixed, wild := splitWildcards(path.Clean("/" + pattern))
	if wild == "" {
		return []string{fixed}, nil
	}
	e, err := s.at(fixed)
	if err != nil {
		return nil, err
	}
	if _, err := path.Match(wild, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	var found []string
	var search func(dir layers.Entry, rel string, depth int)
	search = func(dir layers.Entry, rel string, depth int) {
		for _, c := range s.view.ReadDir(dir.Path) {
			name := path.Join(rel, path.Base(c.Path))
			if ok, err := path.Match(wild, name); ok && err == nil {
				found = append(found, path.Join("/", dir.Path, path.Base(c.Path)))
				continue
			}
			if depth > 1 && c.Mode.Type() == fs.ModeDir {
				search(c, name, depth-1)
			}
		}
	}
	search(e, "", strings.Count(wild, "/")+1)
	return found, nil
}

// splitWildcards splits an absolute path before the first element that has a
// wildcard.
func splitWildcards(p string) (fixed, wild string) {
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if hasWildcards(part) {
			return "/" + path.Join(parts[:i]...), strings.Join(parts[i:], "/")
		}
	}
	return p, ""
}

func hasWildcards(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}
