package oci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kanso-build/kanso/layers"
)

// An Output is a place on disk where an image is written to.
type Output struct {
	Kind string // "oci", "oci-archive" or "docker-archive"; "tar" or "local" for files alone
	Path string
	Tag  string // may be empty
}

// ParseOutput reads "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]",
// "docker-archive:FILE[:NAME]", or for the files alone "tar:FILE" or "local:DIR".
func ParseOutput(s string) (Output, error) {
	kind, place, ok := strings.Cut(s, ":")
	if o := (Output{Kind: kind, Path: place}); ok && o.IsTree() && place != "" {
		return o, nil
	}
	if !ok || !slices.Contains([]string{kindLayout, kindOCIArchive, kindDockerArchive}, kind) {
		return Output{}, fmt.Errorf("output %q: want oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE", s)
	}
	p, tag := splitTag(place)
	if p == "" {
		return Output{}, fmt.Errorf("output %q names no place", s)
	}
	return Output{Kind: kind, Path: p, Tag: tag}, nil
}

// WriteArchive writes an image to a place on disk. name is what it is called
// there if the output has no tag. The same image gives the same bytes. A file
// or a new directory is there when it is whole and not before; in a layout that
// is there already other tags are kept, and the index changes last.
func WriteArchive(ctx context.Context, o Output, img v1.Image, name string) error {
	return WriteAttached(ctx, o, img, name, nil)
}

// WriteAttached is [WriteArchive] with attachments beside the image, for which
// Docker's archives have no place.
func WriteAttached(ctx context.Context, o Output, img v1.Image, name string, list []Attachment) error {
	write := writeFile
	if o.Kind == kindLayout {
		write = writeLayout
	}
	if err := write(ctx, o, img, cmp.Or(o.Tag, name), list); err != nil {
		return fmt.Errorf("write %s:%s: %w", o.Kind, o.Path, err)
	}
	return nil
}

// content is a file of an archive.
type content struct {
	path string
	size int64
	open func() (io.ReadCloser, error)
}

func inMemory(p string, data []byte) content {
	return content{p, int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// writeFile writes an archive beside its place and moves it there.
func writeFile(ctx context.Context, o Output, img v1.Image, name string, attached []Attachment) error {
	list := ociFiles
	if o.Kind == kindDockerArchive {
		list = dockerFiles
	}
	files, err := list(img, name, attached)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b content) int { return strings.Compare(a.path, b.path) })
	return WriteWhole(o.Path, func(w io.Writer) error {
		return layers.Write(ctx, w, func(yield func(layers.File, error) bool) {
			for _, c := range files {
				if !yield(layers.File{Path: c.path, Mode: 0o644, Size: c.size, Open: c.open, Time: time.Unix(0, 0)}, nil) {
					return
				}
			}
		})
	})
}

// blobFiles are the layers and the configuration of an image, each once, under
// the names that name gives them.
func blobFiles(img v1.Image, name func(h v1.Hash, layer bool) string) ([]content, error) {
	ls, err := img.Layers()
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	configName, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	files := []content{inMemory(name(configName, false), config)}
	seen := map[v1.Hash]bool{}
	for _, l := range ls {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		size, err := l.Size()
		if err != nil {
			return nil, err
		}
		if !seen[h] {
			seen[h] = true
			files = append(files, content{name(h, true), size, l.Compressed})
		}
	}
	return files, nil
}

func blobPath(h v1.Hash, _ bool) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// layoutVersion is the file that says that a directory is a layout.
func layoutVersion() content { return inMemory("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)) }

// layoutBlobs are the blobs of an image and its descriptor.
func layoutBlobs(img v1.Image, name string) ([]content, v1.Descriptor, error) {
	files, err := blobFiles(img, blobPath)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	mt, err := img.MediaType()
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mt, Digest: digest, Size: int64(len(manifest))}
	if name != "" {
		d.Annotations = map[string]string{refName: name}
	}
	return append(files, inMemory(blobPath(digest, false), manifest)), d, nil
}

func ociFiles(img v1.Image, name string, attached []Attachment) ([]content, error) {
	files, d, err := layoutBlobs(img, name)
	if err != nil {
		return nil, err
	}
	list := newIndex(d)
	if len(attached) > 0 {
		none := newIndex()
		more, entry, err := attachedFiles(img, attached, &none)
		if err != nil {
			return nil, err
		}
		files, list.Manifests = append(files, more...), append(list.Manifests, entry)
	}
	index, err := json.Marshal(list)
	return append(files, layoutVersion(), inMemory("index.json", index)), err
}

func newIndex(ds ...v1.Descriptor) v1.IndexManifest {
	return v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: ds}
}

// dockerFiles are the files of an archive that docker load takes.
func dockerFiles(img v1.Image, name string, attached []Attachment) ([]content, error) {
	if len(attached) > 0 {
		return nil, errors.New("Docker's archives have no place for what is attached to an image") //nolint:staticcheck // a name begins it
	}
	naming := func(h v1.Hash, layer bool) string {
		if layer {
			return h.Hex + ".tar.gz"
		}
		return h.Hex + ".json"
	}
	files, err := blobFiles(img, naming)
	if err != nil {
		return nil, err
	}
	entry := dockerEntry{Config: files[0].path, Layers: []string{}}
	if name != "" {
		entry.RepoTags = []string{withTag(name)}
	}
	ls, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range ls {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		entry.Layers = append(entry.Layers, naming(h, true))
	}
	manifest, err := json.Marshal([]dockerEntry{entry})
	return append(files, inMemory("manifest.json", manifest)), err
}

// withTag gives a name without a tag "latest".
func withTag(name string) string {
	if strings.Contains(path.Base(name), ":") {
		return name
	}
	return name + ":latest"
}

// writeLayout writes an image into a layout.
func writeLayout(ctx context.Context, o Output, img v1.Image, name string, list []Attachment) (err error) {
	if _, err := os.Stat(o.Path); err == nil {
		return fillLayout(ctx, o.Path, img, name, list)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(o.Path))
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(o.Path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := fillLayout(ctx, temp, img, name, list); err != nil {
		return err
	}
	return os.Rename(temp, o.Path)
}

// fillLayout puts an image into a directory that is a layout or empty.
func fillLayout(ctx context.Context, dir string, img v1.Image, name string, list []Attachment) error {
	index, err := layoutIndex(dir)
	if err != nil {
		return err
	}
	files, d, err := layoutBlobs(img, name)
	if err != nil {
		return err
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(e v1.Descriptor) bool {
		return e.Annotations[refName] == name
	})
	index.Manifests = append(index.Manifests, d)
	if len(list) > 0 {
		more, err := attachInLayout(&index, dir, img, d.Digest, list)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	for _, c := range append(files, layoutVersion()) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		to := filepath.Join(dir, filepath.FromSlash(c.path))
		if info, err := os.Stat(to); err == nil && info.Size() == c.size {
			continue
		}
		if err := placeFile(to, c); err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return placeFile(filepath.Join(dir, "index.json"), inMemory("index.json", data))
}

// layoutIndex reads the index of a layout; an empty directory has an empty one.
func layoutIndex(dir string) (v1.IndexManifest, error) {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		index, err := v1.ParseIndexManifest(bytes.NewReader(data))
		if err != nil {
			return v1.IndexManifest{}, fmt.Errorf("read index.json: %w", err)
		}
		return *index, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return v1.IndexManifest{}, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return v1.IndexManifest{}, err
	}
	if len(entries) > 0 {
		return v1.IndexManifest{}, errors.New("the directory is neither empty nor an OCI layout")
	}
	return newIndex(), nil
}

// placeFile writes one file beside its place and moves it there.
func placeFile(to string, c content) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return writeBeside(to, func(w io.Writer) error {
		r, err := c.open()
		if err != nil {
			return err
		}
		n, err := io.Copy(w, r)
		if e := r.Close(); err == nil {
			err = e
		}
		if err == nil && n != c.size {
			err = fmt.Errorf("has %d bytes, not %d", n, c.size)
		}
		return err
	})
}

// HoldsSeveral says whether several images can be written to the place, each
// under its own name.
func (o Output) HoldsSeveral() bool { return o.Kind == kindLayout && o.Tag == "" }

// HoldsAttachments says whether what is attached to an image can be written
// there, too.
func (o Output) HoldsAttachments() bool { return o.Kind != kindDockerArchive && !o.IsTree() }
