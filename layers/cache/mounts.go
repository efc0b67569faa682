package cache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Mount returns a directory that lasts from build to build, by any text as its
// key. It is empty at first, and what is in it is the steps' affair. release must
// be called. Until then others may use it too, if they may share it; if somebody
// does not share it, those that wait do so, and the others get another one, which
// lasts as well.
func (d *Dir) Mount(ctx context.Context, key string, share, wait bool) (dir string, release func(), err error) {
	all := filepath.Join(d.root, mountsDir, nameOf(key))
	if err := os.MkdirAll(all, 0o700); err != nil {
		return "", nil, fmt.Errorf("make mount: %w", err)
	}
	for n := 0; ; n++ {
		dir := filepath.Join(all, strconv.Itoa(n))
		l, ok, err := takeMount(ctx, dir, share, wait)
		if err != nil {
			return "", nil, fmt.Errorf("lock mount: %w", err)
		}
		if ok {
			d.lockUsed(l)
			return dir, func() { l.close() }, nil
		}
	}
}

// takeMount locks and makes a directory; it is not ok if others have it.
func takeMount(ctx context.Context, dir string, share, wait bool) (l *lock, ok bool, err error) {
	if l, err = openLock(dir + lockSuffix); err != nil {
		return nil, false, err
	}
	if ok = wait; wait {
		err = l.wait(ctx, !share)
	} else {
		ok, err = l.try(!share)
	}
	if err == nil && ok {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil || !ok {
		l.close()
		return nil, false, err
	}
	return l, true, nil
}
