package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kanso-build/kanso/oci"
)

// tamper WHAT IMAGE PATH TAG pushes an image under another tag with one file
// changed, its "byte", "mode" or "owner", and a manifest and a configuration
// that match. "attached" changes a byte and takes the image's attachments along;
// "lying" does and leaves the configuration as it was.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	what, file, to := args[0], args[2], args[3]
	ref, err := name.ParseReference(args[1])
	ts.Check(err)
	img, err := remote.Image(ref)
	ts.Check(err)
	ls, err := img.Layers()
	ts.Check(err)
	config, err := img.ConfigFile()
	ts.Check(err)
	config = config.DeepCopy()
	changed := 0
	var adds []mutate.Addendum
	for i, l := range ls {
		data, did := tampered(ts, l, file, what)
		add := mutate.Addendum{Layer: l}
		if did {
			changed++
			add.Layer, err = tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
			ts.Check(err)
			diffID, err := add.Layer.DiffID()
			ts.Check(err)
			if what != "lying" {
				config.RootFS.DiffIDs[i] = diffID
			}
		}
		adds = append(adds, add)
	}
	if changed != 1 {
		ts.Fatalf("%d layers have %s", changed, file)
	}
	out, err := assembledLike(img, config, adds)
	ts.Check(err)
	tag, err := name.NewTag(ref.Context().Name() + ":" + to)
	ts.Check(err)
	ts.Check(remote.Write(tag, out))
	if what == "attached" {
		ts.Check(carryAttachments(ref.Name(), tag, out))
	}
}

// assembledLike is an image with the media types and annotations of another one.
func assembledLike(like v1.Image, config *v1.ConfigFile, adds []mutate.Addendum) (v1.Image, error) {
	mt, err := like.MediaType()
	if err != nil {
		return nil, err
	}
	m, err := like.Manifest()
	if err != nil {
		return nil, err
	}
	img := mutate.MediaType(empty.Image, mt)
	if img, err = mutate.Append(mutate.ConfigMediaType(img, m.Config.MediaType), adds...); err != nil {
		return nil, err
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(img, m.Annotations).(v1.Image)
	if !ok {
		return nil, errors.New("not an image any more")
	}
	return annotated, nil
}

// tampered is a layer with one file changed, if it is there.
func tampered(ts *testscript.TestScript, l v1.Layer, file, what string) ([]byte, bool) {
	r, err := l.Uncompressed()
	ts.Check(err)
	defer r.Close()
	var out bytes.Buffer
	w, did := tar.NewWriter(&out), false
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		ts.Check(err)
		data, err := io.ReadAll(t)
		ts.Check(err)
		if "/"+strings.TrimPrefix(h.Name, "/") == file {
			did = true
			switch what {
			case "mode":
				h.Mode ^= 0o100
			case "owner":
				h.Uid = 1000
			default:
				data[len(data)/2] ^= 1
			}
		}
		ts.Check(w.WriteHeader(h))
		_, err = w.Write(data)
		ts.Check(err)
	}
	ts.Check(w.Close())
	return out.Bytes(), did
}

// carryAttachments attaches to an image what is attached to another one.
func carryAttachments(from string, to name.Tag, img v1.Image) error {
	c := &oci.Client{}
	ctx := context.Background()
	base, err := c.Base(ctx, from, "")
	if err != nil {
		return err
	}
	list, err := c.Attachments(ctx, base, "application/vnd.in-toto+json")
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s has no attachments", from)
	}
	if err != nil {
		return err
	}
	return c.Attach(ctx, img, to.Repository, list)
}

// attached IMAGE TYPE prints what of a type is attached to an image.
func attached(ts *testscript.TestScript, neg bool, args []string) {
	c := &oci.Client{}
	ref := args[0]
	if kind, place, ok := strings.Cut(ref, ":"); ok && strings.HasPrefix(kind, "oci") {
		ref = kind + ":" + ts.MkAbs(place)
	}
	base, err := c.Base(context.Background(), ref, "")
	ts.Check(err)
	list, err := c.Attachments(context.Background(), base, args[1])
	ts.Check(err)
	for _, a := range list {
		fmt.Fprintf(ts.Stdout(), "%s", a.Data)
	}
	if neg != (len(list) == 0) {
		ts.Fatalf("%d attachments of type %s", len(list), args[1])
	}
}
