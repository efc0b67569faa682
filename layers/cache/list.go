package cache

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The kinds of entries.
const (
	KindLayer    = "layer"    // which layers a step's key made
	KindBlob     = "blob"     // compressed layers, by digest
	KindValue    = "value"    // small facts
	KindTree     = "tree"     // unpacked layers
	KindPackages = "packages" // of a package manager and project
	KindMount    = "mount"    // of users' own steps
)

// An Entry is something that is kept.
type Entry struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"` // of its kind, the only one
	Size int64     `json:"size"` // of its files, in bytes
	Used time.Time `json:"used"` // last

	path string
}

// List returns everything that is kept, by kind and name.
func (d *Dir) List(ctx context.Context) ([]Entry, error) {
	var all []Entry
	for _, look := range []func(context.Context) ([]Entry, error){
		d.listFiles(KindLayer, layersDir), d.listFiles(KindBlob, blobsDir), d.listFiles(KindValue, valuesDir),
		d.listLocked(KindTree, treesDir, d.treeSize), d.listLocked(KindMount, mountsDir, sizeOf), d.listPackages,
	} {
		list, err := look(ctx)
		if err != nil {
			return nil, fmt.Errorf("list cache: %w", err)
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// listFiles lists entries that are files.
func (d *Dir) listFiles(kind, dir string) func(context.Context) ([]Entry, error) {
	return func(ctx context.Context) ([]Entry, error) {
		var list []Entry
		root := filepath.Join(d.root, dir)
		err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil || e.IsDir() {
				return gone(err)
			}
			info, err := e.Info()
			if err != nil {
				return gone(err)
			}
			name, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			if kind == KindBlob {
				name = strings.Replace(name, "/", ":", 1) // the digest
			}
			list = append(list, Entry{Kind: kind, Name: name, Size: info.Size(), Used: usedAt(p, info), path: p})
			return nil
		})
		return list, err
	}
}

// gone drops the error for what somebody else removed meanwhile.
func gone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// listLocked lists directories that have locks. They were used when the lock
// was.
func (d *Dir) listLocked(kind, dir string, measure func(ctx context.Context, dir string) (int64, error)) func(context.Context) ([]Entry, error) {
	return func(ctx context.Context) ([]Entry, error) {
		root := filepath.Join(d.root, dir)
		dirs, err := filepath.Glob(filepath.Join(root, "*", "*"))
		if err != nil {
			return nil, err
		}
		var list []Entry
		for _, dir := range dirs {
			if strings.HasSuffix(dir, lockSuffix) {
				continue
			}
			info, err := os.Stat(dir + lockSuffix)
			if err != nil {
				continue // not one of ours
			}
			size, err := measure(ctx, dir)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(root, dir)
			if err != nil {
				return nil, err
			}
			list = append(list, Entry{Kind: kind, Name: filepath.ToSlash(name), Size: size, Used: info.ModTime(), path: dir})
		}
		return list, nil
	}
}

// treeSize is the size of a tree. It is measured once and then stands in the
// tree's lock.
func (d *Dir) treeSize(ctx context.Context, dir string) (int64, error) {
	data, err := os.ReadFile(dir + lockSuffix)
	if err == nil && len(data) > 0 {
		if size, err := strconv.ParseInt(string(data), 10, 64); err == nil && size >= 0 {
			return size, nil
		}
	}
	size, err := sizeOf(ctx, dir)
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(dir+lockSuffix, os.O_RDWR, 0)
	if err != nil {
		return size, gone(err)
	}
	l := &lock{f: f}
	defer l.close()
	if alone, err := l.try(true); err == nil && alone { // nobody is filling it
		info, err := f.Stat()
		if err == nil && f.Truncate(0) == nil {
			_, _ = f.WriteAt([]byte(strconv.FormatInt(size, 10)), 0) // else it is measured again
			_ = os.Chtimes(f.Name(), time.Time{}, info.ModTime())
		}
	}
	return size, nil
}

// sizeOf is the size of the files in a directory, of those that can be seen.
func sizeOf(ctx context.Context, dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return nil //nolint:nilerr // of another id, or gone
		}
		if e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size, err
}

// listPackages lists the caches of package managers.
func (d *Dir) listPackages(ctx context.Context) ([]Entry, error) {
	dirs, err := filepath.Glob(filepath.Join(d.root, packagesDir, "*", "*"))
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		size, err := sizeOf(ctx, dir)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(filepath.Join(d.root, packagesDir), dir)
		if err != nil {
			return nil, err
		}
		list = append(list, Entry{Kind: KindPackages, Name: filepath.ToSlash(name), Size: size, Used: info.ModTime(), path: dir})
	}
	return list, nil
}
