package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// glance is what files of a build context were when they were looked at, with the
// directories above them.
type glance struct {
	names  []string // sorted, so that directories come before what is in them
	at     map[string]int
	list   layers.Listing      // an entry for each of names, without the sums of contents
	infos  []fs.FileInfo       // of each
	xattrs []map[string]string // of each: file capabilities
	sums   []string            // of each, sha256 in hexadecimal; nil if they are not known
}

// sum is the sha256 of file number i; empty if it is not known.
func (g *glance) sum(i int) string {
	if g.sums == nil {
		return ""
	}
	return g.sums[i]
}

// since takes over what is known of contents from an earlier glance at the same
// files, where these look the same. It says whether all do.
func (g *glance) since(before *glance) bool {
	alike := slices.Equal(g.names, before.names)
	g.sums = make([]string, len(g.names))
	for i, name := range g.names {
		j, ok := before.at[name]
		if !ok || !sameInfo(g.infos[i], before.infos[j]) {
			alike = false
			continue
		}
		g.sums[i] = before.sum(j)
		a, b := g.list.Entries[i], before.list.Entries[j]
		alike = alike && a.Mode == b.Mode && a.Link == b.Link && a.HardLink == b.HardLink && maps.Equal(g.xattrs[i], before.xattrs[j])
	}
	return alike
}

// glanceKey tells glances of one build apart, by the list of files that a step of
// the plan has.
type glanceKey struct {
	dir   string
	first *string
	n     int
	modes plan.Modes
	add   fs.FileMode
}

func glanceOf(dir string, files []string, modes plan.Copy) glanceKey {
	k := glanceKey{dir: dir, n: len(files), modes: modes.Modes, add: modes.AddMode}
	if len(files) > 0 {
		k.first = &files[0]
	}
	return k
}

// look looks at files, several at a time.
func (t *contextTree) look(ctx context.Context, files []string) (*glance, error) {
	names, err := withParents(files)
	if err != nil {
		return nil, err
	}
	t.glance = &glance{
		names: names, at: make(map[string]int, len(names)), list: layers.Listing{Entries: make([]layers.Entry, len(names))},
		infos: make([]fs.FileInfo, len(names)), xattrs: make([]map[string]string, len(names)),
	}
	for i, name := range names {
		t.at[name] = i
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, some := range byDirectory(names) {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return t.lookAll(some)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return t.glance, t.link()
}

// link makes hard links of the names of one file, all but the first, and refuses
// what lies behind something else than directories.
func (g *glance) link() error {
	links := map[[2]uint64]string{}
	for i, name := range g.names {
		if dir := path.Dir(name); dir != "." && !g.infos[g.at[dir]].IsDir() {
			return fmt.Errorf("%s: %s is not a directory", name, dir)
		}
		dev, ino, ok := layers.LinkID(g.infos[i])
		if !ok || !g.infos[i].Mode().IsRegular() {
			continue
		}
		if first, ok := links[[2]uint64{dev, ino}]; ok {
			g.list.Entries[i].HardLink, g.list.Entries[i].Link = true, first
		} else {
			links[[2]uint64{dev, ino}] = name
		}
	}
	return nil
}

// withParents are names and all directories above them, sorted so that these
// come first.
func withParents(files []string) ([]string, error) {
	all := map[string]bool{}
	for _, name := range files {
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
			return nil, fmt.Errorf("%q leads out of the context", name)
		}
		for ; name != "." && !all[name]; name = path.Dir(name) {
			all[name] = true
		}
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// byDirectory are the numbers of names by the directory that they are in.
func byDirectory(names []string) map[string][]int {
	all := map[string][]int{}
	for i, name := range names {
		dir := path.Dir(name)
		all[dir] = append(all[dir], i)
	}
	return all
}

// lookAll describes some of the names, which are in one directory: that is opened
// once, and not for each of them all that leads to it.
func (t *contextTree) lookAll(some []int) error {
	root := t.root
	if dir := path.Dir(t.names[some[0]]); dir != "." {
		var err error
		if root, err = t.root.OpenRoot(filepath.FromSlash(dir)); err != nil {
			return inContext(t.names[some[0]], err)
		}
		defer root.Close()
	}
	for _, i := range some {
		if err := t.lookAt(root, i); err != nil {
			return inContext(t.names[i], err)
		}
	}
	return nil
}

// lookAt describes a file as it is on disk, without its content. root is the
// directory that it is in.
func (t *contextTree) lookAt(root *os.Root, i int) error {
	base := path.Base(t.names[i])
	info, err := root.Lstat(base)
	if err != nil {
		return err
	}
	e := layers.Entry{Path: t.names[i], Mode: copiedMode(info.Mode(), t.modes), Time: t.b.time().Unix()}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		if e.Link, err = root.Readlink(base); err != nil {
			return err
		}
		e.Link = filepath.ToSlash(e.Link)
	case 0:
		e.Size = info.Size()
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		e.Major, e.Minor = layers.Device(info)
	case fs.ModeSocket:
		e.Mode = e.Mode.Perm() // a stub, as in BuildKit
	}
	t.list.Entries[i], t.infos[i] = e, info
	t.xattrs[i] = layers.Capabilities(filepath.Join(t.dir, filepath.FromSlash(e.Path)), info)
	return nil
}

// inContext names a file of the context in an error.
func inContext(name string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("context file %s: %w", name, err)
}

// hashAll finds out what is in the files.
func (t *contextTree) hashAll(ctx context.Context) error {
	sums := make([]string, len(t.names))
	err := inCrowds(ctx, len(sums), func(i int) (err error) {
		if t.infos[i].Mode().IsRegular() {
			sums[i], err = t.hash(i)
		}
		return err
	})
	if err == nil {
		t.sums = sums
	}
	return err
}

// crowd is how many files are described or hashed by one.
const crowd = 64

// inCrowds does something for each of n things, for several at a time.
func inCrowds(ctx context.Context, n int, do func(i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for first := 0; first < n; first += crowd {
		g.Go(func() error {
			for i := first; i < min(n, first+crowd); i++ {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
