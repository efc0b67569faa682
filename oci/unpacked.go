package oci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
)

// UnpackArgs are the arguments of the sandbox's verb "unpack": the layer that
// comes in becomes the tree Dir, and an [Unpacked] goes out.
type UnpackArgs struct {
	Dir    string        `json:"dir"`
	Below  []string      `json:"below"` // trees, topmost first
	Owners layers.Owners `json:"owners"`
	DiffID string        `json:"diff_id"` // of the tar; anything else is an error
	// Apart says that the trees below are not there yet.
	Apart bool `json:"apart,omitempty"`
}

// Unpacked is what the verb "unpack" says of a layer.
type Unpacked struct {
	// List is the [layers.Listing] in JSON.
	List  []byte       `json:"-"`
	Apart layers.Apart `json:"apart,omitzero"`
	// Again says that the layer is to be unpacked on those below it.
	Again bool `json:"again,omitempty"`
}

// WriteTo implements [io.WriterTo]: a line of JSON, and the list.
func (u Unpacked) WriteTo(w io.Writer) (int64, error) {
	line, err := json.Marshal(u)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(line, '\n'))
	if err != nil {
		return int64(n), err
	}
	m, err := w.Write(u.List)
	return int64(n + m), err
}

// readUnpacked reads what WriteTo wrote, and keeps parts of it.
func readUnpacked(data []byte) (u Unpacked, err error) {
	line, list, _ := bytes.Cut(data, []byte("\n"))
	err = json.Unmarshal(line, &u)
	u.List = list
	return u, err
}

// GroundArgs are the arguments of the sandbox's verb "ground": the tree Dir, which
// was unpacked apart, is put on those below it. A [Grounded] goes out as JSON.
type GroundArgs struct {
	Dir    string        `json:"dir"`
	Below  []string      `json:"below"`
	Owners layers.Owners `json:"owners"`
	Apart  layers.Apart  `json:"apart"`
}

// Grounded is what the verb "ground" says.
type Grounded struct {
	Again bool `json:"again,omitempty"` // as in [Unpacked]
}

// fill makes the tree of a layer in an empty directory. The layer is unpacked
// while it comes, if it has to be fetched, and before those below it are there;
// below waits for these. done is called when nothing more is read.
func (b *Builder) fill(ctx context.Context, r Runner, l laid, dir string, bottom bool, below func() ([]string, error), done func()) error {
	args := UnpackArgs{Dir: dir, Owners: layers.Owners(r.Owners()), DiffID: l.diffID.String(), Apart: !bottom}
	out, err := b.unpackFetched(ctx, r, l, args)
	done()
	if err != nil {
		return err
	}
	if bottom {
		return b.keepListed(l.diffID, out.List)
	}
	if args.Below, err = below(); err != nil {
		return err
	}
	if !out.Again {
		if out.Again, err = ground(ctx, r, args, out.Apart); err != nil {
			return err
		}
	}
	if out.Again {
		args.Apart = false
		if err := clearTree(ctx, r, dir); err != nil {
			return err
		}
		if out, err = b.unpackStored(ctx, r, l, args); err != nil {
			return err
		}
	}
	return b.keepListed(l.diffID, out.List)
}

// unpackFetched unpacks a layer, while it is fetched if it is not on this machine.
// What was unpacked counts only if both the layer and its tar are what they are
// said to be; after a fetch that broke and was begun again it is unpacked again.
func (b *Builder) unpackFetched(ctx context.Context, r Runner, l laid, args UnpackArgs) (Unpacked, error) {
	if far, ok := l.Layer.(*farLayer); !ok {
		return b.unpackStored(ctx, r, l, args)
	} else if _, ok := b.Client.here(far); ok {
		return b.unpackStored(ctx, r, l, args)
	}
	f := newFollower()
	fetched := make(chan error, 1)
	go func() {
		_, err := b.Client.fetchTo(ctx, l.Layer, f)
		f.end(cmp.Or(err, errNoStream)) // if it did not come this way
		fetched <- err
	}()
	out, err := unpack(ctx, r, args, f.r)
	f.r.Close()
	if err := <-fetched; err != nil {
		return Unpacked{}, err
	}
	if err == nil || !f.broke {
		return out, err
	}
	if err := clearTree(ctx, r, args.Dir); err != nil {
		return Unpacked{}, err
	}
	return b.unpackStored(ctx, r, l, args)
}

// unpackStored unpacks a layer from its file.
func (b *Builder) unpackStored(ctx context.Context, r Runner, l laid, args UnpackArgs) (Unpacked, error) {
	var file string
	var err error
	if s, ok := l.Layer.(storedLayer); ok {
		file = s.file
	} else if file, err = b.Client.Fetch(ctx, l.Layer); err != nil {
		return Unpacked{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return Unpacked{}, err
	}
	defer f.Close()
	return unpack(ctx, r, args, f)
}

// unpack turns a layer into a tree.
func unpack(ctx context.Context, r Runner, args UnpackArgs, in io.Reader) (Unpacked, error) {
	var data bytes.Buffer
	if err := r.Call(ctx, sandbox.Call{Verb: "unpack", Args: args, In: in, Out: &data}); err != nil {
		return Unpacked{}, err
	}
	out, err := readUnpacked(data.Bytes())
	if err != nil {
		return out, fmt.Errorf("read listing of layer %s: %w", args.DiffID, err)
	}
	return out, nil
}

// ground puts a tree on those below it; again says that it is to be made anew.
func ground(ctx context.Context, r Runner, args UnpackArgs, apart layers.Apart) (again bool, err error) {
	if len(apart.Crossed) == 0 {
		return false, nil
	}
	var data bytes.Buffer
	var out Grounded
	call := sandbox.Call{Verb: "ground", Args: GroundArgs{args.Dir, args.Below, args.Owners, apart}, Out: &data}
	if err := r.Call(ctx, call); err != nil {
		return false, err
	}
	if err := json.Unmarshal(data.Bytes(), &out); err != nil {
		return false, fmt.Errorf("put layer %s on others: %w", args.DiffID, err)
	}
	return out.Again, nil
}

// clearTree empties the directory of a tree.
func clearTree(ctx context.Context, r Runner, dir string) error {
	return r.Call(ctx, sandbox.Call{Verb: "remove", Args: RemoveArgs{Paths: []string{layers.TreeFiles(dir), layers.TreeTable(dir)}}})
}
