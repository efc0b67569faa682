package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// Size is that of all regular files, in bytes.
	Size int64

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
	w := walker{
		o: o, rules: rules, set: FileSet{Root: o.Root, IgnoreFile: rules.file, rules: rules, dropIgnore: o.DropIgnore},
		parents: map[string]bool{},
	}
	if err := w.dir(ctx, ".", false); err != nil {
		return FileSet{}, fmt.Errorf("source files: %w", err)
	}
	if !o.Literal {
		for p := range w.parents {
			w.set.Paths = append(w.set.Paths, p)
		}
	}
	slices.Sort(w.set.Paths)
	w.set.Paths = slices.Compact(w.set.Paths)
	if err := w.judge(); err != nil {
		return FileSet{}, err
	}
	return w.set, nil
}

type walker struct {
	o       FileOptions
	rules   ignoreRules
	set     FileSet
	parents map[string]bool // of what goes in below a directory that stays out
	secrets []secrets.Finding
}

// dir walks a directory; out says that it stays out itself.
func (w *walker) dir(ctx context.Context, dir string, out bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	entries, err := os.ReadDir(filepath.Join(w.o.Root, filepath.FromSlash(dir)))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.entry(ctx, path.Join(dir, e.Name()), e); err != nil {
			return err
		}
	}
	if !out {
		w.warnOfDir(dir, entries)
	}
	return nil
}

func (w *walker) entry(ctx context.Context, p string, e fs.DirEntry) error {
	out := w.stays(p)
	if !out {
		if err := w.take(p, e); err != nil {
			return err
		}
	}
	if !e.IsDir() || out && !w.rules.enter(p) {
		return nil
	}
	err := w.dir(ctx, p, out)
	if out && errors.Is(err, fs.ErrPermission) {
		return nil // nothing in it goes in by itself
	}
	return err
}

// stays says whether a path stays out.
func (w *walker) stays(p string) bool {
	if p == ignoreName && w.o.DropIgnore {
		return true
	}
	_, out := w.rules.decide(p)
	return out
}

// take puts a path in.
func (w *walker) take(p string, e fs.DirEntry) error {
	switch e.Type() {
	case 0:
		info, err := e.Info()
		if err != nil {
			return err
		}
		w.set.Size += info.Size()
		w.warnOfFile(p, info)
		if err := w.lookForSecrets(p, info); err != nil {
			return err
		}
	case fs.ModeDir, fs.ModeSymlink:
	case fs.ModeNamedPipe:
		if w.o.Literal {
			w.set.Pipes = append(w.set.Pipes, p)
			return nil
		}
		w.warnf("%s stays out: it is a pipe", p)
		return nil
	default:
		w.warnf("%s stays out: it is neither file, directory nor link", p)
		return nil
	}
	w.set.Paths = append(w.set.Paths, p)
	for at := path.Dir(p); at != "." && !w.parents[at]; at = path.Dir(at) {
		w.parents[at] = true
	}
	return nil
}

// bigWarning is the size in bytes from which on a file is worth a warning.
const bigWarning = 100 << 20

func (w *walker) warnOfFile(p string, info fs.FileInfo) {
	if info.Size() > bigWarning {
		w.warnf("%s goes in: it has %d MiB", p, info.Size()>>20)
	}
	if name := path.Base(p); name == ".env" || strings.HasPrefix(name, ".env.") && name != ".env.example" {
		w.warnf("%s goes in (%d bytes): such files often hold secrets", p, info.Size())
	}
}

// warnOfDir warns of directories that are seldom wanted.
func (w *walker) warnOfDir(dir string, entries []fs.DirEntry) {
	if path.Base(dir) == ".git" {
		w.warnf("%s goes in (%d MiB): with the project's whole history", dir, w.below(dir)>>20)
		return
	}
	for _, e := range entries {
		if e.Name() == "pyvenv.cfg" && dir != "." {
			w.warnf("%s goes in (%d MiB): it is a virtual environment", dir, w.below(dir)>>20)
		}
	}
}

// below is the size of the files below a directory that go in.
func (w *walker) below(dir string) int64 {
	var size int64
	for _, p := range w.set.Paths {
		if strings.HasPrefix(p, dir+"/") {
			if info, err := os.Lstat(filepath.Join(w.o.Root, filepath.FromSlash(p))); err == nil && info.Mode().IsRegular() {
				size += info.Size()
			}
		}
	}
	return size
}

func (w *walker) warnf(format string, args ...any) {
	w.set.Warnings = append(w.set.Warnings, fmt.Sprintf(format, args...))
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
