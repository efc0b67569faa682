package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referrersName is the shape of [referrersTag].
var referrersName = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)

// besides says whether an entry of a layout's index is no image but what stands
// beside one. Layouts have no list of referrers of their own, so the one with
// the tag that registries use is in their index, too.
func besides(d v1.Descriptor) bool {
	return d.ArtifactType != "" || referrersName.MatchString(d.Annotations[refName])
}

// imagesOf is an index without what is no image.
func imagesOf(index *v1.IndexManifest) *v1.IndexManifest {
	out := *index
	out.Manifests = slices.DeleteFunc(slices.Clone(index.Manifests), besides)
	return &out
}

// attachedFiles are the blobs of attachments to an image in a layout, and the
// entry of the layout's index for the list of them, which goes on from the one
// that is there.
func attachedFiles(img v1.Image, list []Attachment, there *v1.IndexManifest) ([]content, v1.Descriptor, error) {
	subject, err := subjectOf(img)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	add := func(files []content, d v1.Descriptor, data []byte) []content {
		return append(files, inMemory(blobPath(d.Digest, false), data))
	}
	var files []content
	for i, a := range list {
		x, err := newArtifact(subject, a)
		if err != nil {
			return nil, v1.Descriptor{}, err
		}
		if i == 0 {
			files = add(files, x.empty, emptyData())
		}
		files = add(add(files, x.blob, x.Data), x.desc, x.manifest)
		withArtifact(there, x.desc)
	}
	data, err := json.Marshal(there)
	if err != nil {
		return nil, v1.Descriptor{}, fmt.Errorf("encode index: %w", err)
	}
	d := describeBytes(types.OCIImageIndex, data)
	d.Annotations = map[string]string{refName: referrersTag(subject.Digest)}
	return add(files, d, data), d, nil
}

// layoutReferrers reads what refers to an image of a layout or an OCI archive.
func layoutReferrers(kind, place string, subject v1.Hash) (*v1.IndexManifest, blobs, error) {
	at, _ := splitTag(place)
	var from blobs
	var data []byte
	var err error
	if kind == kindLayout {
		from = dirBlobs{at}
		data, err = os.ReadFile(filepath.Join(at, "index.json"))
	} else {
		var tar *tarBlobs
		if tar, err = openTar(at); err == nil {
			from = tar
			data, err = tar.read("index.json")
		}
	}
	if err != nil {
		return nil, nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("read index.json: %w", err)
	}
	list, err := referrersIn(index, subject, from)
	return list, from, err
}

// referrersIn is the list of what refers to an image in the index of a layout,
// which may be empty.
func referrersIn(index *v1.IndexManifest, subject v1.Hash, from blobs) (*v1.IndexManifest, error) {
	list := newIndex()
	for _, d := range index.Manifests {
		switch {
		case d.Annotations[refName] == referrersTag(subject):
			raw, err := readBlob(from, d)
			if err != nil {
				return nil, fmt.Errorf("read index of referrers: %w", err)
			}
			found, err := v1.ParseIndexManifest(bytes.NewReader(raw))
			if err != nil {
				return nil, fmt.Errorf("read index of referrers: %w", err)
			}
			list.Manifests = append(list.Manifests, found.Manifests...)
		case d.ArtifactType != "":
			list.Manifests = append(list.Manifests, d) // as other tools keep them
		}
	}
	return &list, nil
}

// attachInLayout adds attachments to the index of a layout in a directory and
// returns the blobs that belong there.
func attachInLayout(index *v1.IndexManifest, dir string, img v1.Image, subject v1.Hash, list []Attachment) ([]content, error) {
	there, err := referrersIn(&v1.IndexManifest{Manifests: slices.DeleteFunc(slices.Clone(index.Manifests), func(d v1.Descriptor) bool {
		return d.ArtifactType != ""
	})}, subject, dirBlobs{dir})
	if err != nil {
		return nil, err
	}
	files, entry, err := attachedFiles(img, list, there)
	if err != nil {
		return nil, err
	}
	tag := referrersTag(subject)
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Annotations[refName] == tag })
	index.Manifests = append(index.Manifests, entry)
	return files, nil
}
