package layers

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"unicode/utf8"
)

// UnpackApart is [Unpack] for a layer whose lower ones are not unpacked yet, so
// that several can be at once. The tree is whole only after [Ground]. A layer that
// takes more from those below than the state of directories gives [ErrBelow].
func UnpackApart(ctx context.Context, r io.Reader, dir string, o UnpackOptions) (Listing, Apart, error) {
	u := newUnpacker(dir, o)
	u.o.Below, u.apart = nil, &Apart{}
	list, err := u.layer(ctx, r, dir)
	for p := range u.apart.Crossed {
		if err == nil && !utf8.ValidString(p) {
			err = ErrBelow // JSON cannot hold its name
		}
	}
	return list, *u.apart, err
}

// Ground gives the directories of a tree that [UnpackApart] made what they have
// in the trees below, o.Below. If there is a link where the tree has a directory
// that its layer had no entry for, that is [ErrBelow]: the layer has to be unpacked
// anew, on them.
func Ground(dir string, a Apart, o UnpackOptions) error {
	u := newUnpacker(dir, o)
	for _, p := range slices.Sorted(maps.Keys(a.Crossed)) {
		if _, info := u.below(p); p != "." && info != nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("/%s: %w", p, ErrBelow)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(a.Implied)) {
		if err := u.ground(p); err != nil {
			return fmt.Errorf("put layer on those below it: /%s: %w", p, err)
		}
	}
	return u.settle()
}

func (u *unpacker) ground(p string) error {
	if p == "." {
		return u.implied(p)
	}
	from, info := u.below(p)
	if from == "" || !info.IsDir() {
		return nil // it is as a directory is that nothing is said of
	}
	return u.likeBelow(p, from, info)
}
