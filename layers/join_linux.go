package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// CaptureJoined is [CaptureParts] for a command that did only what an earlier one
// had not done: join says what of the earlier one's stays, and how all is divided.
// A part that is one of the earlier one's layers is not written again. With Settle
// the upper directory has what stays, too: names of the same files, which nobody
// changes in a tree. A [Refusal] of join becomes one of the stream, and then
// nothing more is done.
func CaptureJoined(ctx context.Context, w io.Writer, c Changes, o CaptureOptions, e Earlier, join func(j Joint) (stay []File, parts []Part, err error)) error {
	was, err := e.files(o.Time)
	if err != nil {
		return writeRefusal(w, Refusal(err.Error()))
	}
	k, err := gathered(ctx, c, o)
	if err != nil {
		return err
	}
	j := Joint{Was: was, Lower: k.lowerMode}
	for f, err := range k.files() {
		if err != nil {
			return fmt.Errorf("capture changes: %w", err)
		}
		j.Is = append(j.Is, f)
	}
	stay, parts, err := join(j)
	if why := Refusal(""); errors.As(err, &why) {
		return writeRefusal(w, why)
	}
	if err != nil {
		return fmt.Errorf("join changes: %w", err)
	}
	stays := map[string]bool{}
	for _, f := range stay {
		stays[f.Path] = true
	}
	for i := range parts {
		parts[i].Known = e.known(parts[i].Files, stays)
	}
	if err := WriteParts(ctx, w, parts); err != nil {
		return fmt.Errorf("capture changes: %w", err)
	}
	if !o.Settle {
		return nil
	}
	if err := k.settle(); err != nil {
		return fmt.Errorf("settle changes: %w", err)
	}
	if err := k.take(e.Tree, stay); err != nil {
		return fmt.Errorf("join trees: %w", err)
	}
	return nil
}

// lowerMode is what the lower trees have at a path.
func (k *capture) lowerMode(p string) (fs.FileMode, bool, error) {
	f, ok, err := k.lower.lstat(p)
	if err != nil || !ok {
		return 0, false, err
	}
	return f.info.Mode(), true, nil
}

// take puts what stays of an earlier tree into the upper directory, which has none
// of it, sorted by path.
func (k *capture) take(tree string, stay []File) error {
	m := &merger{how: k.o.Owners}
	from := TreeFiles(tree)
	var made []string // directories that got something
	for _, f := range stay {
		if deleted, _ := Deletes(f.Path); deleted != "" {
			if err := markWhiteout(path.Join(k.root, deleted)); err != nil {
				return err
			}
			made = append(made, path.Dir(f.Path))
			continue
		}
		to := path.Join(k.root, f.Path)
		made = append(made, path.Dir(f.Path))
		if !f.Mode.IsDir() {
			if err := os.Link(path.Join(from, f.Path), to); err != nil {
				return err
			}
			continue
		}
		info, err := os.Lstat(path.Join(from, f.Path))
		if err != nil {
			return err
		}
		if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := m.attributes(path.Join(from, f.Path), to, info); err != nil {
			return err
		}
	}
	if err := k.takeOwners(tree, stay); err != nil {
		return err
	}
	return k.resetTimes(made)
}

// resetTimes gives directories their times back, which were changed by what was
// put in them.
func (k *capture) resetTimes(dirs []string) error {
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if dir == "." {
			continue
		}
		if err := setTime(path.Join(k.root, dir), k.o.Time); err != nil {
			return err
		}
	}
	return k.settleRoot()
}

// takeOwners adds the owners of what stays and can have no attribute.
func (k *capture) takeOwners(tree string, stay []File) error {
	if k.o.Owners == OwnersReal {
		return nil
	}
	was, err := ReadOwnerTable(TreeTable(tree))
	if err != nil || len(was) == 0 {
		return err
	}
	table, err := ReadOwnerTable(k.c.ChownTable)
	if err != nil {
		return err
	}
	for _, f := range stay {
		if e, ok := was[f.Path]; ok {
			table[f.Path] = e
		}
	}
	if err := os.Remove(k.c.ChownTable); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return table.write(k.c.ChownTable)
}
