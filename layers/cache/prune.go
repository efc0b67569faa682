package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Policy says what may stay.
type Policy struct {
	// Keep is how many bytes may stay; what was used last does. Negative is no
	// limit.
	Keep int64
	// Since, if it is not zero, is when an entry must have been used last to
	// stay.
	Since time.Time
	// Only, if it is not nil, picks the entries that may go at all.
	Only func(Entry) bool
}

// Pruned says what was removed and what stayed.
type Pruned struct {
	Removed []Entry
	Kept    int64 // bytes that stayed
	InUse   int   // entries that should have gone but are used by a build
}

// Prune removes entries, the least recently used ones first. What a running
// build has used stays; builds may begin meanwhile.
func (d *Dir) Prune(ctx context.Context, p Policy) (Pruned, error) {
	l, err := openLock(filepath.Join(d.root, "prune.lock"))
	if err != nil {
		return Pruned{}, fmt.Errorf("prune cache: %w", err)
	}
	defer l.close()
	if err := l.wait(ctx, true); err != nil {
		return Pruned{}, fmt.Errorf("prune cache: %w", err)
	}
	out, err := d.prune(ctx, p)
	if err != nil {
		return out, fmt.Errorf("prune cache: %w", err)
	}
	d.writeUsage(out.Kept)
	return out, nil
}

func (d *Dir) prune(ctx context.Context, p Policy) (Pruned, error) {
	var out Pruned
	list, err := d.List(ctx)
	if err != nil {
		return out, err
	}
	builds, err := d.sessions()
	if err != nil {
		return out, err
	}
	for _, e := range list {
		out.Kept += e.Size
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return a.Used.Compare(b.Used) })
	for _, e := range list {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		over := p.Keep >= 0 && out.Kept > p.Keep || !p.Since.IsZero() && e.Used.Before(p.Since)
		if !over || p.Only != nil && !p.Only(e) {
			continue
		}
		removed, err := d.evict(ctx, e, builds)
		if err != nil {
			return out, err
		}
		if !removed {
			out.InUse++
			continue
		}
		out.Removed = append(out.Removed, e)
		out.Kept -= e.Size
	}
	return out, d.dropKeys()
}

// evict removes an entry unless a build that is running uses it.
func (d *Dir) evict(ctx context.Context, e Entry, builds running) (bool, error) {
	if e.Kind == KindTree || e.Kind == KindMount {
		return d.evictLocked(ctx, e, builds.uses(e.Used))
	}
	if builds.uses(e.Used) {
		return false, nil
	}
	aside := filepath.Join(d.root, tempDir, "evicted-"+nameOf(e.path))
	if err := os.Rename(e.path, aside); err != nil {
		return os.IsNotExist(err), gone(err)
	}
	if e.Kind == KindPackages {
		return true, d.o.Remove(ctx, aside)
	}
	info, err := os.Lstat(aside)
	if err == nil && builds.uses(usedAt(aside, info)) { // somebody found it a moment ago
		return false, os.Rename(aside, e.path)
	}
	return true, os.Remove(aside)
}

// evictLocked removes a directory that nobody has locked, or that was not used
// lately where there are no locks. The lock stays: others may be waiting for it.
func (d *Dir) evictLocked(ctx context.Context, e Entry, lately bool) (bool, error) {
	l, err := openLock(e.path + lockSuffix)
	if err != nil {
		return false, err
	}
	defer l.close()
	if alone, err := l.try(true); err != nil || !alone || l.none && lately {
		return false, err
	}
	aside, err := os.MkdirTemp(filepath.Join(d.root, tempDir), "evicted-")
	if err != nil {
		return false, err
	}
	if err := os.Rename(e.path, filepath.Join(aside, "dir")); err != nil {
		os.Remove(aside)
		return os.IsNotExist(err), gone(err)
	}
	if err := l.f.Truncate(0); err != nil {
		return false, err
	}
	return true, d.o.Remove(ctx, aside)
}

// dropKeys removes the keys of steps whose layers are gone.
func (d *Dir) dropKeys() error {
	files, err := filepath.Glob(filepath.Join(d.root, layersDir, "*", "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		e, ok, err := readLayers(file)
		if err != nil {
			return err
		}
		for _, l := range e.Layers {
			_, err := os.Lstat(d.blobFile(l.Digest))
			ok = ok && err == nil
		}
		if !ok {
			os.Remove(file)
		}
	}
	return nil
}

// Remove removes the entries whose kind or name begins with one of names, or
// all of them without names, unless they are in use.
func (d *Dir) Remove(ctx context.Context, names []string) (Pruned, error) {
	p := Policy{Keep: -1, Since: farFuture()}
	if len(names) > 0 {
		p.Only = func(e Entry) bool {
			return slices.ContainsFunc(names, func(n string) bool {
				return e.Kind == n || strings.HasPrefix(e.Name, n) || strings.HasPrefix(e.Name, "sha256:"+n)
			})
		}
	}
	return d.Prune(ctx, p)
}

func farFuture() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// usage is what is known of the cache's size without looking.
type usage struct {
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"` // when it was measured
}

// measureEvery is how often the size is measured, at the least.
const measureEvery = 24 * time.Hour

func (d *Dir) readUsage() (usage, bool) {
	var u usage
	data, err := os.ReadFile(filepath.Join(d.root, "usage"))
	if err != nil {
		return u, false
	}
	data, ok := unsealed(data)
	return u, ok && json.Unmarshal(data, &u) == nil
}

// writeUsage notes the size that was measured now.
func (d *Dir) writeUsage(bytes int64) {
	if d.o.Now != nil {
		d.storeUsage(usage{bytes, d.o.Now().UTC()})
	}
}

func (d *Dir) storeUsage(u usage) {
	if data, err := json.Marshal(u); err == nil {
		_ = d.write(filepath.Join(d.root, "usage"), data) // else it is measured again
	}
}

// treeRatio is how many times the size of layers what became of them may have:
// trees, and downloads of package managers.
const treeRatio = 8

// keepLimit evicts what is beyond the limit, if the cache may be that big: the
// size is measured after a build that unpacked something, unless there is far more
// room than that can take, when what was added since makes it too big, and when
// nobody has for a day.
func (d *Dir) keepLimit(ctx context.Context) error {
	added, trees := d.added.Load(), d.addedTrees.Load()
	if added == 0 && !trees {
		return nil
	}
	if d.o.Limit <= 0 || d.o.Now == nil {
		return gone(os.Remove(filepath.Join(d.root, "usage"))) // who has a limit is to measure
	}
	u, known := d.readUsage()
	stale := !known || d.o.Now().Sub(u.At).Abs() > measureEvery // the clock may have gone back
	u.Bytes += added
	if stale || trees && u.Bytes > d.o.Limit/treeRatio || u.Bytes > d.o.Limit {
		_, err := d.Prune(ctx, Policy{Keep: d.o.Limit})
		return err
	}
	d.storeUsage(u)
	return nil
}

// Close evicts what is beyond the limit and lets others clean up. What the
// cache gave out is used no more. That something could not be evicted is no
// error: it is tried again after the next build.
func (d *Dir) Close() error {
	d.evictMore()
	return errors.Join(d.session.end(), d.inUse.close())
}
