package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
)

// The kinds of places on disk that hold images.
const (
	kindLayout        = "oci"
	kindOCIArchive    = "oci-archive"
	kindDockerArchive = "docker-archive"
)

// refName is the annotation with a tag (OCI image specification, "Pre-Defined
// Annotation Keys").
const refName = "org.opencontainers.image.ref.name"

// splitTag splits "PATH[:TAG]". A colon before a slash, and the one after the
// letter of a drive, belong to the path.
func splitTag(s string) (path, tag string) {
	i := strings.LastIndexByte(s, ':')
	drive := i == 1 && len(s) > 2 && (s[2] == '/' || s[2] == '\\')
	if i < 0 || drive || strings.ContainsAny(s[i:], `/\`) {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// layoutBase finds an image in an OCI layout.
func (c *Client) layoutBase(ref, place string, want *v1.Platform) (Base, error) {
	dir, tag := splitTag(place)
	from := dirBlobs{dir}
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Base{}, fmt.Errorf("%s is not an OCI layout: %w", dir, ErrNotFound)
	}
	if err != nil {
		return Base{}, err
	}
	img, err := indexedImage(ref, index, tag, want, from)
	return Base{Image: img}, err
}

// archiveBase finds an image in an OCI layout in a tar.
func (c *Client) archiveBase(ref, place string, want *v1.Platform) (Base, error) {
	file, tag := splitTag(place)
	from, err := openTar(file)
	if err != nil {
		return Base{}, err
	}
	index, err := from.read("index.json")
	if err != nil {
		return Base{}, err
	}
	img, err := indexedImage(ref, index, tag, want, from)
	return Base{Image: img}, err
}

// indexedImage picks an image of a layout by tag and platform.
func indexedImage(ref string, data []byte, tag string, want *v1.Platform, from blobs) (v1.Image, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	if !referrersName.MatchString(tag) {
		index = imagesOf(index)
	}
	if tag != "" || len(index.Manifests) > 1 {
		if index, err = tagged(index, tag); err != nil {
			return nil, err
		}
	}
	for range 4 {
		d, err := choose(ref, index, want)
		if err != nil {
			return nil, err
		}
		doc, err := readBlob(from, d)
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		mt, err := mediaTypeOf(doc)
		if err != nil {
			return nil, err
		}
		if !mt.IsIndex() {
			return readImage(doc, nil, from)
		}
		if index, err = v1.ParseIndexManifest(bytes.NewReader(doc)); err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
	}
	return nil, errors.New("index within index within index")
}

// tagged is the part of an index that has a tag. Without a tag, images for
// several platforms may share one.
func tagged(index *v1.IndexManifest, tag string) (*v1.IndexManifest, error) {
	var names []string
	found := index.DeepCopy()
	found.Manifests = nil
	for _, d := range index.Manifests {
		n := d.Annotations[refName]
		names = append(names, n)
		if n == tag || strings.HasSuffix(n, ":"+tag) && tag != "" {
			found.Manifests = append(found.Manifests, d)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if tag == "" {
		if len(names) == 1 {
			return index, nil
		}
		return nil, fmt.Errorf("it has several images, name one of the tags %s", strings.Join(names, ", "))
	}
	if len(found.Manifests) == 0 {
		return nil, fmt.Errorf("it has no tag %q but %s: %w", tag, strings.Join(names, ", "), ErrNotFound)
	}
	return found, nil
}

// dirBlobs are the blobs of a layout.
type dirBlobs struct{ dir string }

func (b dirBlobs) file(h v1.Hash) (string, bool) {
	file := filepath.Join(b.dir, "blobs", h.Algorithm, h.Hex)
	info, err := os.Stat(file)
	return file, err == nil && info.Mode().IsRegular()
}

func (b dirBlobs) open(d v1.Descriptor) (io.ReadCloser, error) {
	file, ok := b.file(d.Digest)
	if !ok {
		return nil, fmt.Errorf("the layout has no blob %s: %w", d.Digest, ErrNotFound)
	}
	return b.openFile(file, d)
}

func (dirBlobs) openFile(file string, d v1.Descriptor) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	return checkBlob(f, d), nil
}

func (dirBlobs) repository() (name.Repository, bool) { return name.Repository{}, false }

// tarBlobs are the members of an uncompressed tar.
type tarBlobs struct {
	path    string
	members map[string]layers.Member
}

func openTar(file string) (*tarBlobs, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", file, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	members, err := layers.Index(f)
	if err != nil {
		return nil, err
	}
	return &tarBlobs{file, members}, nil
}

// member finds a file, through links.
func (b *tarBlobs) member(file string) (layers.Member, error) {
	m, ok := b.members[file]
	for n := 0; ok && m.Link != "" && n < 8; n++ {
		m, ok = b.members[m.Link]
	}
	if !ok || m.Link != "" {
		return m, fmt.Errorf("the archive has no file %s: %w", file, ErrNotFound)
	}
	return m, nil
}

// section reads a file where it lies.
func (b *tarBlobs) section(file string) (io.ReadCloser, int64, error) {
	m, err := b.member(file)
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(b.path)
	if err != nil {
		return nil, 0, err
	}
	return &nested{io.NopCloser(io.NewSectionReader(f, m.Offset, m.Size)), f}, m.Size, nil
}

// read reads a small file whole.
func (b *tarBlobs) read(file string) ([]byte, error) {
	r, size, err := b.section(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > documentLimit {
		return nil, fmt.Errorf("%s has more than %d bytes", file, documentLimit)
	}
	return io.ReadAll(r)
}

func (b *tarBlobs) open(d v1.Descriptor) (io.ReadCloser, error) {
	r, _, err := b.section("blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex)
	if err != nil {
		return nil, err
	}
	return checkBlob(r, d), nil
}

func (*tarBlobs) file(v1.Hash) (string, bool)         { return "", false }
func (*tarBlobs) repository() (name.Repository, bool) { return name.Repository{}, false }

// unmarshal is [json.Unmarshal] with the name of what is read.
func unmarshal(what string, data []byte, to any) error {
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
