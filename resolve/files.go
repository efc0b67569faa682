package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/secrets"
)

// FileOptions say which files go in.
type FileOptions struct {
	// Root is the source root.
	Root string
	// Ignore is an ignore file, which must be there; empty is .dockerignore in
	// the root, if there is one.
	Ignore string
	// Matcher is the reading of it, [MatcherDocker] if it is empty.
	Matcher string
	// DropIgnore leaves the root's .dockerignore itself out; DropZen lets the
	// rules drop .zen, as ZenML did before 0.34.
	DropIgnore, DropZen bool
	// NoIgnore ignores nothing, whatever Ignore is.
	NoIgnore bool
	// Literal lists what an archive of ZenML's has: no directory that only
	// leads to something, and pipes, too.
	Literal bool
	// Allow are paths of files and directories that may go in though they look
	// like secrets. WarnOfSecrets refuses none.
	Allow         []string
	WarnOfSecrets bool
}

// A FileSet is what goes in.
type FileSet struct {
	Root string
	// Paths are relative to the root, with slashes, sorted by bytes;
	// directories and links are named too.
	Paths []string
	// Pipes are named pipes that ZenML's archive would have, which no image of
	// ours gets.
	Pipes []string
	// IgnoreFile is the file whose rules decided; empty if there is none.
	IgnoreFile string
	// Warnings tell of what goes in and should perhaps not.
	Warnings []string

	rules      ignoreRules
	dropIgnore bool
	dropped    map[string]string // what stays out for a reason of ours
	unasked    string            // why what no rule drops may stay out
}

// without takes a path, and what is below it, out of the set unless it is
// allowed, and says whether it was there.
func (s *FileSet) without(rel, why string, allowed []string) bool {
	if rel == "" || rel == "." || slices.Contains(allowed, rel) {
		return false
	}
	before := len(s.Paths)
	s.Paths = slices.DeleteFunc(s.Paths, func(p string) bool { return p == rel || strings.HasPrefix(p, rel+"/") })
	if s.dropped == nil {
		s.dropped = map[string]string{}
	}
	s.dropped[rel] = why
	return len(s.Paths) < before
}

// A Decision says why a path goes in or stays out.
type Decision struct {
	Path     string
	Included bool
	// Pattern stands in File at Line; all are empty if no rule is about the
	// path. Rules of ours have no file but a Note.
	Pattern, File string
	Line          int
	Note          string
}

// Files walks the source root once and returns what goes in. Links are not
// followed, directories that stay out as a whole are not read, and sockets,
// pipes and devices are left out with a warning. It refuses to take in files
// with secrets that are not allowed, with a [secrets.Error].
func Files(ctx context.Context, o FileOptions) (FileSet, error) {
	rules, err := readIgnore(o)
	if err != nil {
		return FileSet{}, err
	}
	w := newWalker(o, rules)
	found := w.dir(ctx, ".", false)
	if found.err != nil {
		return FileSet{}, fmt.Errorf("source files: %w", found.err)
	}
	set := FileSet{Root: o.Root, IgnoreFile: rules.file, rules: rules, dropIgnore: o.DropIgnore, Paths: found.paths}
	var list []secrets.Finding
	for _, n := range found.notes {
		switch {
		case n.secret != nil:
			list = append(list, *n.secret)
		case n.pipe != "":
			set.Pipes = append(set.Pipes, n.pipe)
		default:
			set.Warnings = append(set.Warnings, n.warning)
		}
	}
	if !o.Literal {
		set.Paths = append(set.Paths, parentsOf(set.Paths)...)
	}
	slices.Sort(set.Paths)
	set.Paths = slices.Compact(set.Paths)
	if err := set.judge(o, list); err != nil {
		return FileSet{}, err
	}
	return set, nil
}

// parentsOf are the directories above paths.
func parentsOf(paths []string) []string {
	var list []string
	seen := map[string]bool{".": true}
	for _, p := range paths {
		for at := path.Dir(p); !seen[at]; at = path.Dir(at) {
			seen[at] = true
			list = append(list, at)
		}
	}
	return list
}

// Why says why a path goes in or stays out. The path is relative to the root,
// or absolute and in it.
func (s FileSet) Why(p string) (Decision, error) {
	rel := p
	if filepath.IsAbs(p) {
		var err error
		if rel, err = filepath.Rel(s.Root, p); err != nil {
			return Decision{}, fmt.Errorf("%s: %w", p, err)
		}
	}
	rel = filepath.ToSlash(filepath.Clean(rel))
	if !filepath.IsLocal(filepath.FromSlash(rel)) {
		return Decision{}, fmt.Errorf("%s: not in the source root %s", p, s.Root)
	}
	if _, err := os.Lstat(filepath.Join(s.Root, filepath.FromSlash(rel))); err != nil {
		return Decision{}, fmt.Errorf("%s: %w", p, errors.Unwrap(err))
	}
	_, included := slices.BinarySearch(s.Paths, rel)
	d := Decision{Path: rel, Included: included || rel == "."}
	if rel == ignoreName && s.dropIgnore {
		d.Note = "ZenML from 0.96.2 on does not copy it"
		return d, nil
	}
	if why, ok := s.dropped[rel]; ok {
		d.Note = why
		return d, nil
	}
	r, out := s.rules.decide(rel)
	if !d.Included && !out {
		d.Note = s.unasked
	}
	if r != nil {
		d.Pattern, d.Line, d.Note = r.text, r.line, cmp.Or(r.note, d.Note)
		if r.line > 0 {
			d.File = s.IgnoreFile
		}
		if out && included {
			d.Note = "something below it goes in"
		}
	}
	return d, nil
}
