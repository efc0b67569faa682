package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/kanso-build/kanso/layers/secrets"
)

// walker looks for what goes in, in several directories at a time.
type walker struct {
	o     FileOptions
	rules ignoreRules
	slots chan struct{} // one for everybody who helps
}

// walkers is how many look at once, or one for every core if these are more: a
// disk answers several questions in the time of one.
const walkers = 4

func newWalker(o FileOptions, rules ignoreRules) *walker {
	return &walker{o: o, rules: rules, slots: make(chan struct{}, max(walkers, runtime.GOMAXPROCS(0))-1)}
}

// found is what of a part of the sources goes in.
type found struct {
	paths []string // in no order
	size  int64    // of regular files, in bytes
	notes []note   // in the order of the walk
	err   error
}

// note is something that was found on the way: one of these.
type note struct {
	warning, pipe string
	secret        *secrets.Finding
}

func (f *found) warnf(format string, args ...any) {
	f.notes = append(f.notes, note{warning: fmt.Sprintf(format, args...)})
}

// merge adds what was found elsewhere, after what is there.
func (f *found) merge(other *found) {
	f.paths, f.notes = append(f.paths, other.paths...), append(f.notes, other.notes...)
	f.size += other.size
	if f.err == nil {
		f.err = other.err
	}
}

// parts are parts of a walk that are under way; their results are in order.
type parts struct {
	list []*found
	wg   sync.WaitGroup
}

// walk adds a part, which somebody else walks if there is anybody free.
func (w *walker) walk(p *parts, part func() *found) {
	at := len(p.list)
	p.list = append(p.list, nil)
	list := p.list
	select {
	case w.slots <- struct{}{}:
		result := &found{}
		list[at] = result
		p.wg.Go(func() {
			defer func() { <-w.slots }()
			*result = *part()
		})
	default:
		list[at] = part()
	}
}

// all waits for the parts and adds them up.
func (p *parts) all() *found {
	p.wg.Wait()
	sum := &found{}
	for _, f := range p.list {
		sum.merge(f)
	}
	return sum
}

// crowd is how many entries of one directory are looked at by one.
const crowd = 256

// dir walks a directory; out says that it stays out itself.
func (w *walker) dir(ctx context.Context, dir string, out bool) *found {
	if ctx.Err() != nil {
		return &found{err: context.Cause(ctx)}
	}
	entries, err := os.ReadDir(filepath.Join(w.o.Root, filepath.FromSlash(dir)))
	if err != nil {
		return &found{err: err}
	}
	var p parts
	for some := range slices.Chunk(entries, crowd) {
		w.walk(&p, func() *found { return w.entries(ctx, dir, some) })
	}
	f := p.all()
	if !out {
		f.warnOfDir(dir, entries)
	}
	return f
}

// entries looks at some entries of a directory.
func (w *walker) entries(ctx context.Context, dir string, entries []fs.DirEntry) *found {
	var p parts
	own := &found{}
	flush := func() {
		if len(own.notes) > 0 { // what is below comes after them
			p.list, own = append(p.list, own), &found{}
		}
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		out := w.stays(at)
		if !out {
			if err := w.take(own, at, e); err != nil {
				own.err = err
				break
			}
		}
		if !e.IsDir() || out && !w.rules.enter(at) {
			continue
		}
		flush()
		w.walk(&p, func() *found {
			f := w.dir(ctx, at, out)
			if out && errors.Is(f.err, fs.ErrPermission) {
				f.err = nil // nothing in it goes in by itself
			}
			return f
		})
	}
	p.list = append(p.list, own)
	return p.all()
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
func (w *walker) take(f *found, p string, e fs.DirEntry) error {
	switch e.Type() {
	case 0:
		info, err := e.Info()
		if err != nil {
			return err
		}
		f.size += info.Size()
		f.warnOfFile(p, info)
		list, err := w.secrets(p, info)
		if err != nil {
			return err
		}
		for _, s := range list {
			f.notes = append(f.notes, note{secret: &s})
		}
	case fs.ModeDir, fs.ModeSymlink:
	case fs.ModeNamedPipe:
		if w.o.Literal {
			f.notes = append(f.notes, note{pipe: p})
			return nil
		}
		f.warnf("%s stays out: it is a pipe", p)
		return nil
	default:
		f.warnf("%s stays out: it is neither file, directory nor link", p)
		return nil
	}
	f.paths = append(f.paths, p)
	return nil
}

// bigWarning is the size in bytes from which on a file is worth a warning.
const bigWarning = 100 << 20

func (f *found) warnOfFile(p string, info fs.FileInfo) {
	if info.Size() > bigWarning {
		f.warnf("%s goes in: it has %d MiB", p, info.Size()>>20)
	}
	if name := path.Base(p); name == ".env" || strings.HasPrefix(name, ".env.") && name != ".env.example" {
		f.warnf("%s goes in (%d bytes): such files often hold secrets", p, info.Size())
	}
}

// warnOfDir warns of directories that are seldom wanted, once it is known what
// goes in.
func (f *found) warnOfDir(dir string, entries []fs.DirEntry) {
	if path.Base(dir) == ".git" {
		f.warnf("%s goes in (%d MiB): with the project's whole history", dir, f.size>>20)
		return
	}
	for _, e := range entries {
		if e.Name() == "pyvenv.cfg" && dir != "." {
			f.warnf("%s goes in (%d MiB): it is a virtual environment", dir, f.size>>20)
		}
	}
}
