package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/oci"
)

// writeAll writes the images to the places on disk where they are wanted, and
// returns their digests, or their bases where these are used as they are.
func (b *buildRun) writeAll(ctx context.Context, client *oci.Client, store *cache.Dir, g *goal, images []*target, show display) ([]string, error) {
	var digests []string
	for _, t := range images {
		if t.Untouched {
			if b.attests.wanted() {
				b.warn("the base is used as it is: nothing is attached to " + t.Base())
			}
			t.ref = t.Base()
			digests = append(digests, t.ref)
			continue
		}
		digest, err := t.built.Digest()
		if err != nil {
			return nil, fmt.Errorf("image: %w", err)
		}
		digests = append(digests, digest.String())
		t.ref = digest.String()
		for _, o := range g.outputs {
			if err := b.write(ctx, client, store, show, o, t); err != nil {
				return nil, err
			}
		}
	}
	return digests, nil
}

// write writes an image, or its files, to a place on disk.
func (b *buildRun) write(ctx context.Context, client *oci.Client, store *cache.Dir, show display, o oci.Output, t *target) error {
	if !o.IsTree() {
		return oci.WriteAttached(ctx, o, t.built, t.archiveName(), t.attached)
	}
	builder := &oci.Builder{Client: client, Store: store, Progress: show}
	done, err := builder.Export(ctx, o, t.built, direct(b.stdout))
	if err != nil {
		return err
	}
	if o.Path == oci.Stdout || o.Kind == "tar" {
		return nil
	}
	if done.Owned > 0 {
		b.warn(fmt.Sprintf("--output %s: %d files belong to somebody else than root in the image and to you here: type=tar keeps owners", o.Path, done.Owned))
	}
	if len(done.Left) > 0 {
		b.warn(fmt.Sprintf("--output %s: %s stays out, a device: type=tar has it", o.Path, someOf(done.Left)))
	}
	return nil
}

// terminal says whether stdout is one, which no tar is written to.
func (b *buildRun) terminal() bool {
	f, ok := b.stdout.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
