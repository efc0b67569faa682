// Package cache keeps on disk what builds make and may need again: layers by
// the key of the step that made them, blobs by digest, unpacked layers, small
// facts, and what the contents of files hash to.
//
// An entry is whole or absent, also after a crash, and several builds may use
// one directory at once. Everything can be deleted at any time; it costs time
// and nothing else. The package never stores a credential, trusts no entry
// that another user could have written, and knows nothing of what it keeps.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// format is what the directory's layout is called; a directory of another
// format is not touched.
const format = "kanso cache 1\n"

// ErrForeign is wrapped by the error for a directory that another user or another
// version of kanso keeps a cache in.
var ErrForeign = errors.New("not a cache of ours")

// The directories of a cache.
const (
	layersDir   = "layers"   // by step key
	blobsDir    = "blobs"    // by digest
	valuesDir   = "values"   // by kind and key
	treesDir    = "trees"    // by set and chain id
	packagesDir = "packages" // of package managers, by project
	mountsDir   = "mounts"   // of users' own steps, by what they call them
	scratchDir  = "scratch"  // of running builds
	tempDir     = "tmp"      // entries that are being written
	sessionsDir = "sessions" // one file for each build that is running
)

// Options say how a cache behaves.
type Options struct {
	// Remove deletes a directory whose files may belong to other ids; nil is
	// [os.RemoveAll].
	Remove func(ctx context.Context, dir string) error
	// Now tells when an entry was last used; nil does not note it.
	Now func() time.Time
	// Limit is how many bytes may stay when the cache is closed; the least
	// recently used entries go. Zero, or no Now, is no limit.
	Limit int64
}

// A Dir is a cache in a directory. It may be used by several goroutines.
type Dir struct {
	root  string
	o     Options
	inUse *lock // shared as long as the cache is open
	files hashes

	session    session
	added      atomic.Int64 // bytes of blobs and values that were written
	addedTrees atomic.Bool
	evictMore  func() // whatever became of the build
	new        bool   // there was none
}

// Open opens the cache in a directory, which it makes if it is missing. What
// builds that were killed left behind is removed if no other build uses the
// cache. The cache must be closed.
func Open(dir string, o Options) (*Dir, error) {
	d, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("cache %s: %w", dir, err)
	}
	return d, nil
}

func open(dir string, o Options) (*Dir, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if o.Remove == nil {
		o.Remove = func(_ context.Context, dir string) error { return os.RemoveAll(dir) }
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	d := &Dir{root: dir, o: o}
	if err := d.checkFormat(); err != nil {
		return nil, err
	}
	for _, name := range []string{layersDir, blobsDir, valuesDir, treesDir, packagesDir, mountsDir, scratchDir, tempDir, sessionsDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	d.evictMore = func() { _ = d.keepLimit(context.Background()) }
	d.files.file = filepath.Join(dir, "files")
	if d.new {
		d.writeUsage(0)
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	if err := d.beginSession(); err != nil {
		return nil, errors.Join(err, d.inUse.close())
	}
	return d, nil
}

// private makes sure that nobody else can write to the directory: what is in
// it ends in images, and unpacked layers hold setuid programs.
func private(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if uid, ok := ownerOf(info); ok && uid != os.Getuid() {
		return fmt.Errorf("%w: it belongs to the user with the id %d", ErrForeign, uid)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

func (d *Dir) checkFormat() error {
	file := filepath.Join(d.root, "format")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		d.new = true
		return writeWhole(file, filepath.Dir(file), []byte(format))
	}
	if err == nil && string(data) != format {
		return fmt.Errorf("%w: it has the format %q, not %q", ErrForeign, strings.TrimSpace(string(data)), strings.TrimSpace(format))
	}
	return err
}

// enter notes that the cache is in use, and cleans up if nobody else uses it.
func (d *Dir) enter() error {
	l, err := openLock(filepath.Join(d.root, "use.lock"))
	if err != nil {
		return err
	}
	d.inUse = l
	if alone, err := l.try(true); err != nil {
		return errors.Join(err, l.close())
	} else if alone {
		d.clean(scratchDir, l.none)
		d.clean(tempDir, l.none)
	}
	return l.wait(context.Background(), false)
}

// clean removes what is in a directory, or only what is old. What cannot be
// removed stays and is tried again the next time.
func (d *Dir) clean(name string, oldOnly bool) {
	entries, err := os.ReadDir(filepath.Join(d.root, name))
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); oldOnly && (err != nil || !d.old(info)) {
			continue
		}
		_ = d.o.Remove(context.Background(), filepath.Join(d.root, name, e.Name()))
	}
}

// Scratch returns a directory for files of this build, on the file system of
// the trees. What is left in it is removed some time after the build.
func (d *Dir) Scratch() string { return filepath.Join(d.root, scratchDir) }

// Packages returns the directory in which a package manager keeps downloads
// for one project. It is never shared between projects: a package built by one
// must not end in another's image.
func (d *Dir) Packages(project, manager string) (string, error) {
	dir := filepath.Join(d.root, packagesDir, nameOf(project), nameOf(manager))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cache for %s: %w", manager, err)
	}
	now := d.now()
	_ = os.Chtimes(dir, now, now) // only tells what was used last
	return dir, nil
}
