package cache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// lockSuffix ends the name of a tree's lock. The file's modification time is when
// the tree was used last, and its content the tree's size, once it is known.
const lockSuffix = ".lock"

func (d *Dir) treeDir(set string, chain v1.Hash) string {
	return filepath.Join(d.root, treesDir, set, chain.Hex)
}

// lockTree opens the lock of a tree; it is never deleted.
func (d *Dir) lockTree(set string, chain v1.Hash) (*lock, error) {
	if err := os.MkdirAll(filepath.Join(d.root, treesDir, set), 0o700); err != nil {
		return nil, err
	}
	return openLock(d.treeDir(set, chain) + lockSuffix)
}

// HasTree says whether a tree is there.
func (d *Dir) HasTree(set string, chain v1.Hash) bool {
	_, err := os.Lstat(d.treeDir(set, chain))
	return err == nil
}

// Tree returns the directory of an unpacked layer: the top one of a chain of
// layers, in the set of trees that one kind of sandbox can use. If it is not
// there fill has to fill an empty directory, once, while others wait. What
// fill leaves behind when it fails is removed. release must be called; until
// then the tree stays.
func (d *Dir) Tree(ctx context.Context, set string, chain v1.Hash, fill func(dir string) error) (dir string, release func(), err error) {
	l, err := d.lockTree(set, chain)
	if err != nil {
		return "", nil, fmt.Errorf("lock tree: %w", err)
	}
	if err := d.fillTree(ctx, l, set, chain, fill); err != nil {
		l.close()
		return "", nil, err
	}
	d.lockUsed(l)
	return d.treeDir(set, chain), func() { l.close() }, nil
}

func (d *Dir) fillTree(ctx context.Context, l *lock, set string, chain v1.Hash, fill func(dir string) error) error {
	for alone := false; !alone; {
		// Whoever fills the tree is waited for, whoever only has it is not: two
		// commands that wait for one another may both stand on it.
		err := l.wait(ctx, false)
		if err != nil {
			return fmt.Errorf("lock tree: %w", err)
		}
		if d.HasTree(set, chain) {
			return nil
		}
		if alone, err = l.try(true); err != nil {
			return fmt.Errorf("lock tree: %w", err)
		}
	}
	if !d.HasTree(set, chain) {
		temp, err := os.MkdirTemp(filepath.Join(d.root, tempDir), "tree-")
		if err != nil {
			return fmt.Errorf("make tree: %w", err)
		}
		if err := fill(temp); err != nil {
			_ = d.o.Remove(context.WithoutCancel(ctx), temp) // the error that counts is fill's
			return err
		}
		if err := d.keepTree(ctx, l, set, chain, temp); err != nil {
			return err
		}
	}
	return l.wait(ctx, false)
}

// keepTree makes a directory the tree. Where there are no locks somebody may have
// been faster, and theirs stays.
func (d *Dir) keepTree(ctx context.Context, l *lock, set string, chain v1.Hash, dir string) error {
	err := os.Rename(dir, d.treeDir(set, chain))
	if err != nil && d.HasTree(set, chain) {
		return d.o.Remove(context.WithoutCancel(ctx), dir)
	}
	if err != nil {
		return fmt.Errorf("keep tree: %w", err)
	}
	d.treeAdded(l)
	return nil
}

// lockUsed notes when what a lock is for was used.
func (d *Dir) lockUsed(l *lock) {
	now := d.now()
	_ = os.Chtimes(l.f.Name(), now, now) // only tells what was used last
}

// treeAdded notes that a tree is there, whose size nobody knows.
func (d *Dir) treeAdded(l *lock) {
	d.addedTrees.Store(true)
	_ = l.f.Truncate(0) // else the size of an earlier one is taken for its own
}

// AdoptTree takes over a directory, on the cache's file system, as a tree. If
// the tree is there already the directory is removed.
func (d *Dir) AdoptTree(ctx context.Context, set string, chain v1.Hash, dir string) error {
	l, err := d.lockTree(set, chain)
	if err != nil {
		return fmt.Errorf("lock tree: %w", err)
	}
	defer l.close()
	if err := l.wait(ctx, true); err != nil {
		return fmt.Errorf("lock tree: %w", err)
	}
	if d.HasTree(set, chain) {
		return d.o.Remove(ctx, dir)
	}
	if err := d.keepTree(ctx, l, set, chain, dir); err != nil {
		return err
	}
	d.lockUsed(l)
	return nil
}
