package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/patternmatcher"
)

// A buildContext is a directory that a Dockerfile copies from, without what is
// ignored. It is looked at only where something is asked for, and each
// directory once. Paths are relative to it, with slashes; links never lead out
// of it.
type buildContext struct {
	root   string
	ignore ignorePatterns
	// only are all paths that there are, if something else than ignore
	// patterns decided which.
	only map[string]bool
	// alone is the one file of a context that has no root; empty for none.
	alone string

	dirs    map[string][]fs.DirEntry
	matched map[string]matched
}

// matched is what the ignore patterns say of a directory.
type matched struct {
	ignored bool
	info    patternmatcher.MatchInfo
}

func newContext(root string, ignore ignorePatterns) *buildContext {
	return &buildContext{root: root, ignore: ignore, dirs: map[string][]fs.DirEntry{}, matched: map[string]matched{}}
}

// maxLinks is how many links are followed for one pattern, as the kernel's
// limit for a path.
const maxLinks = 40

// A selection collects the paths that patterns need: what they match, what is
// in directories that they match, links that are followed and the directories
// that lead to all of it.
type selection struct {
	c     *buildContext
	paths map[string]bool
	// deep says that ** stands for any number of directories.
	deep bool
}

// choose returns the paths that patterns need, sorted by bytes, and those of
// the patterns without wildcards that there is nothing for.
func (c *buildContext) choose(ctx context.Context, patterns []string, deep bool) (paths, missing []string, err error) {
	s := &selection{c: c, paths: map[string]bool{}, deep: deep}
	for _, p := range patterns {
		parts := splitPath(p, false)
		found, err := s.follow(ctx, ".", parts, false, maxLinks)
		if err != nil {
			return nil, nil, fmt.Errorf("build context: %w", err)
		}
		if !found && !slices.ContainsFunc(parts, part.wild) {
			missing = append(missing, p)
		}
	}
	return slices.Sorted(maps.Keys(s.paths)), missing, nil
}

// A part is one of a pattern's, between slashes. What a link names has no
// wildcards, whatever it looks like.
type part struct {
	name    string
	literal bool
}

// splitPath are the parts of a path in the context; none is the root.
func splitPath(p string, literal bool) []part {
	var parts []part
	for name := range strings.SplitSeq(path.Clean("/"+p), "/") {
		if name != "" {
			parts = append(parts, part{name, literal})
		}
	}
	return parts
}

// wild says whether a part may match several names.
func (p part) wild() bool {
	for i := 0; i < len(p.name) && !p.literal; i++ {
		switch p.name[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

// follow goes from a directory along the parts of a pattern. Links are followed
// at its end and, before the first wildcard, on its way.
func (s *selection) follow(ctx context.Context, dir string, parts []part, wild bool, links int) (found bool, err error) {
	if len(parts) == 0 {
		return s.all(ctx, dir)
	}
	first, rest := parts[0], parts[1:]
	if first.literal || !wild && !first.wild() {
		return s.step(ctx, path.Join(dir, first.name), rest, wild, links)
	}
	entries, err := s.c.list(dir)
	if err != nil {
		return false, err
	}
	any := s.deep && first.name == "**"
	if any && len(rest) > 0 {
		if found, err = s.follow(ctx, dir, rest, true, links); err != nil {
			return found, err
		}
	}
	for _, e := range entries {
		if !any && !matches(first.name, e.Name()) {
			continue
		}
		one, err := s.step(ctx, path.Join(dir, e.Name()), after(parts, any && e.IsDir()), true, links)
		if err != nil {
			return found, err
		}
		found = found || one
	}
	return found, nil
}

// after are the parts that go on from a match of the first one: all of them if it
// goes on matching, unless it is the last.
func after(parts []part, again bool) []part {
	if again && len(parts) > 1 {
		return parts
	}
	return parts[1:]
}

// matches says whether a pattern without slashes fits a name; one that is none
// fits nothing.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// step takes the path p, which rest goes on from.
func (s *selection) step(ctx context.Context, p string, rest []part, wild bool, links int) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	info, err := s.c.lstat(p)
	switch {
	case err != nil || info == nil:
		return false, err
	case info.Mode()&fs.ModeSymlink != 0:
		return s.link(ctx, p, rest, wild, links)
	case info.IsDir():
		return s.follow(ctx, p, rest, wild, links)
	case len(rest) > 0 || s.c.ignored(p):
		return false, nil
	}
	s.add(p)
	return true, nil
}

// link takes a link and what it leads to, inside the context.
func (s *selection) link(ctx context.Context, p string, rest []part, wild bool, links int) (bool, error) {
	if s.c.ignored(p) || wild && len(rest) > 0 {
		return false, nil
	}
	if links == 0 {
		return false, fmt.Errorf("%s: too many links", p)
	}
	target, err := os.Readlink(s.c.host(p))
	if err != nil {
		return false, err
	}
	s.add(p)
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(p), target)
	}
	return s.follow(ctx, ".", append(splitPath(target, true), rest...), wild, links-1)
}

// chooseLiteral is like choose for one path, in which nothing is a wildcard.
func (c *buildContext) chooseLiteral(ctx context.Context, p string) (paths, missing []string, err error) {
	s := &selection{c: c, paths: map[string]bool{}}
	found, err := s.follow(ctx, ".", splitPath(p, true), false, maxLinks)
	if err != nil {
		return nil, nil, fmt.Errorf("build context: %w", err)
	}
	if !found {
		missing = []string{p}
	}
	return slices.Sorted(maps.Keys(s.paths)), missing, nil
}

// all takes a directory and all that is in it, and says whether it is there.
func (s *selection) all(ctx context.Context, dir string) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	found := dir == "." || !s.c.ignored(dir)
	if found && dir != "." {
		s.add(dir)
	}
	if !found && !s.c.enter(dir) {
		return false, nil
	}
	entries, err := s.c.list(dir)
	if err != nil {
		if !found && errors.Is(err, fs.ErrPermission) {
			return false, nil // nothing in it can be asked for by itself
		}
		return false, err
	}
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		if e.IsDir() {
			below, err := s.all(ctx, p)
			if err != nil {
				return false, err
			}
			found = found || below
		} else if !s.c.ignored(p) {
			s.add(p)
			found = true
		}
	}
	return found, nil
}

// add takes a path and the directories that lead to it.
func (s *selection) add(p string) {
	for ; p != "." && !s.paths[p]; p = path.Dir(p) {
		s.paths[p] = true
	}
}

func (c *buildContext) host(p string) string { return filepath.Join(c.root, filepath.FromSlash(p)) }

// lstat looks at a path, no parent of which is a link; nil if there is nothing.
func (c *buildContext) lstat(p string) (fs.FileInfo, error) {
	if c.root == "" {
		if p == c.alone && p != "" {
			return loneFile(p), nil
		}
		return nil, nil //nolint:nilnil // a context without files
	}
	info, err := os.Lstat(c.host(p))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil //nolint:nilnil // nothing is there
	}
	return info, err
}

// list reads a directory once.
func (c *buildContext) list(dir string) ([]fs.DirEntry, error) {
	if c.root == "" && c.alone != "" {
		return []fs.DirEntry{fs.FileInfoToDirEntry(loneFile(c.alone))}, nil
	}
	entries, ok := c.dirs[dir]
	if ok || c.root == "" {
		return entries, nil
	}
	entries, err := os.ReadDir(c.host(dir))
	if err != nil {
		return nil, err
	}
	c.dirs[dir] = entries
	return entries, nil
}

// ignored says whether a path is.
func (c *buildContext) ignored(p string) bool {
	if c.only != nil {
		return !c.only[p]
	}
	return c.match(p).ignored
}

func (c *buildContext) match(p string) matched {
	if m, ok := c.matched[p]; ok || p == "." {
		return m
	}
	ignored, info := c.ignore.match(p, c.match(path.Dir(p)).info)
	m := matched{ignored, info}
	c.matched[p] = m
	return m
}

// enter says whether something in an ignored directory may not be ignored.
func (c *buildContext) enter(dir string) bool { return c.only == nil && c.ignore.enter(dir) }

// why says what is known of a path that is missing; empty for nothing.
func (c *buildContext) why(p string) string {
	at := "."
	for _, x := range splitPath(p, true) {
		at = path.Join(at, x.name)
		info, err := c.lstat(at)
		if err != nil || info == nil || info.Mode()&fs.ModeSymlink != 0 {
			return ""
		}
	}
	if rule := c.ignore.why(at); rule != "" {
		return rule + " leaves it out"
	}
	return "the ignore file leaves it out"
}

// A loneFile describes a file of a context that is on no disk, by its name.
type loneFile string

// Name implements [fs.FileInfo].
func (f loneFile) Name() string { return string(f) }

// Size implements [fs.FileInfo]; nobody asks.
func (loneFile) Size() int64 { return 0 }

// Mode implements [fs.FileInfo].
func (loneFile) Mode() fs.FileMode { return 0o644 }

// ModTime implements [fs.FileInfo]; nobody asks.
func (loneFile) ModTime() time.Time { return time.Time{} }

// IsDir implements [fs.FileInfo].
func (loneFile) IsDir() bool { return false }

// Sys implements [fs.FileInfo].
func (loneFile) Sys() any { return nil }
