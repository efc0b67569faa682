package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Attachment is a document about an image that stands beside it: a manifest
// of its own refers to the image (OCI image specification 1.1, "subject").
type Attachment struct {
	// Type is the media type of Data, and says what the attachment is.
	Type string
	Data []byte
	// Annotations are the manifest's, by which attachments of one type are told
	// apart without reading them.
	Annotations map[string]string
}

// attachmentLimit is the size in bytes up to which attachments are read.
const attachmentLimit = 64 << 20

// maxReferrers is how many of what refers to an image are looked at. All are
// read: not every registry lists them by their type.
const maxReferrers = 100

// emptyType is that of the configuration of what needs none (OCI image
// specification, "Guidance for an Empty Descriptor").
const emptyType types.MediaType = "application/vnd.oci.empty.v1+json"

// emptyData is all that an empty configuration holds.
func emptyData() []byte { return []byte("{}") }

// An artifact is an attachment with its manifest.
type artifact struct {
	Attachment
	manifest []byte
	desc     v1.Descriptor // of the manifest, as an index has it
	blob     v1.Descriptor // of the data
	empty    v1.Descriptor
}

// describeBytes is the descriptor of what is in memory.
func describeBytes(mt types.MediaType, data []byte) v1.Descriptor {
	digest, size, _ := v1.SHA256(bytes.NewReader(data)) // reading memory never fails
	return v1.Descriptor{MediaType: mt, Digest: digest, Size: size}
}

// subjectOf is the descriptor of an image as the subject of others.
func subjectOf(img v1.Image) (v1.Descriptor, error) {
	manifest, err := img.RawManifest()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read manifest: %w", err)
	}
	mt, err := img.MediaType()
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read media type: %w", err)
	}
	return describeBytes(mt, manifest), nil
}

// newArtifact makes the manifest of an attachment.
func newArtifact(subject v1.Descriptor, a Attachment) (artifact, error) {
	x := artifact{Attachment: a, blob: describeBytes(types.MediaType(a.Type), a.Data), empty: describeBytes(emptyType, emptyData())}
	config := x.empty
	config.Data = emptyData()
	var err error
	x.manifest, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.Type, Config: config, Layers: []v1.Descriptor{x.blob},
		Subject: &subject, Annotations: cloneMap(a.Annotations),
	})
	if err != nil {
		return x, fmt.Errorf("encode manifest: %w", err)
	}
	x.desc = describeBytes(types.OCIManifestSchema1, x.manifest)
	x.desc.ArtifactType, x.desc.Annotations = a.Type, cloneMap(a.Annotations)
	return x, nil
}

// referrersTag is where the index of what refers to an image is, where nobody
// else keeps it (OCI distribution specification, "Referrers Tag Schema").
func referrersTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

// withArtifact adds a manifest to an index of referrers; false if it is there.
func withArtifact(index *v1.IndexManifest, d v1.Descriptor) bool {
	if slices.ContainsFunc(index.Manifests, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
		return false
	}
	index.Manifests = append(index.Manifests, d)
	return true
}

// Attach puts attachments beside an image in a repository. What is there is not
// sent again. Registries that do not list what refers to an image are given an
// index with a tag for that. A registry that takes no such manifests gives a
// [*RefusedError].
func (c *Client) Attach(ctx context.Context, img v1.Image, repo name.Repository, list []Attachment) error {
	subject, err := subjectOf(img)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	for _, a := range list {
		x, err := newArtifact(subject, a)
		if err != nil {
			return fmt.Errorf("attach %s: %w", a.Type, err)
		}
		if err := c.attach(ctx, repo, subject.Digest, x); err != nil {
			return fmt.Errorf("attach %s: %w", a.Type, refused(repo, err))
		}
	}
	return nil
}

func (c *Client) attach(ctx context.Context, repo name.Repository, subject v1.Hash, x artifact) error {
	index, listed, err := c.referrers(ctx, repo, subject)
	if err != nil {
		return err
	}
	if !withArtifact(index, x.desc) {
		return nil
	}
	u, err := c.uploader(ctx, repo)
	if err != nil {
		return err
	}
	for _, b := range []struct {
		desc v1.Descriptor
		data []byte
	}{{x.empty, emptyData()}, {x.blob, x.Data}} {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.data)), nil }
		if err := u.blob(ctx, blob{b.desc.Digest, b.desc.Size, "", open}); err != nil {
			return err
		}
	}
	answered, err := u.putDocument(ctx, x.desc.Digest.String(), types.OCIManifestSchema1, x.manifest)
	if err != nil || listed || answered {
		return err
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	_, err = u.putDocument(ctx, referrersTag(subject), types.OCIImageIndex, data)
	return err
}

// putDocument puts a manifest, and says whether the registry has understood that
// it refers to another.
func (u *uploader) putDocument(ctx context.Context, ref string, mt types.MediaType, data []byte) (understood bool, err error) {
	err = u.c.retried(ctx, "manifest", func() error {
		r, err := u.do(ctx, http.MethodPut, u.url("/manifests/"+ref), &payload{
			open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, size: int64(len(data)), kind: string(mt),
		})
		if err != nil {
			return err
		}
		defer r.Body.Close()
		understood = r.Header.Get("OCI-Subject") != ""
		return u.c.expect(r, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	})
	if err != nil {
		return false, &manifestError{mt, err}
	}
	return understood, nil
}

// Attachments returns those of a type beside an image that [Client.Base] found,
// in the order in which they are listed; none if there are none.
func (c *Client) Attachments(ctx context.Context, b Base, kind string) ([]Attachment, error) {
	list, err := c.attachments(ctx, b, kind)
	if err != nil {
		return nil, fmt.Errorf("attachments of %s: %w", b.Ref, err)
	}
	return list, nil
}

func (c *Client) attachments(ctx context.Context, b Base, kind string) ([]Attachment, error) {
	index, from, err := c.referring(ctx, b)
	if err != nil {
		return nil, err
	}
	var list []Attachment
	for _, d := range index.Manifests[:min(maxReferrers, len(index.Manifests))] {
		a, subject, err := readAttachment(from, d)
		if err != nil {
			return nil, err
		}
		if a.Type == kind && subject == b.Digest {
			list = append(list, a)
		}
	}
	return list, nil
}

// referring is the index of what refers to an image, and where its blobs are.
func (c *Client) referring(ctx context.Context, b Base) (*v1.IndexManifest, blobs, error) {
	kind, place, _ := strings.Cut(b.Ref, ":")
	switch {
	case b.Name == "" && (kind == kindLayout || kind == kindOCIArchive):
		return layoutReferrers(kind, place, b.Digest)
	case b.Name == "":
		return &v1.IndexManifest{}, nil, nil
	}
	ref, err := name.ParseReference(b.Name, c.nameOptions(b.Name)...)
	if err != nil {
		return nil, nil, err
	}
	index, _, err := c.referrers(ctx, ref.Context(), b.Digest)
	return index, manifestBlobs{remoteBlobs{ctx, c, ref.Context()}}, err
}

// readAttachment reads the manifest of an attachment and what it is about.
func readAttachment(from blobs, d v1.Descriptor) (Attachment, v1.Hash, error) {
	raw, err := readBlob(from, d)
	if err != nil {
		return Attachment{}, v1.Hash{}, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return Attachment{}, v1.Hash{}, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	if m.Subject == nil || len(m.Layers) != 1 {
		return Attachment{}, v1.Hash{}, nil // something else
	}
	a := Attachment{Type: m.ArtifactType, Annotations: m.Annotations}
	if a.Type == "" {
		a.Type = string(m.Config.MediaType)
	}
	if m.Layers[0].Size > attachmentLimit {
		return a, v1.Hash{}, fmt.Errorf("attachment %s has more than %d bytes", d.Digest, attachmentLimit)
	}
	r, err := from.open(m.Layers[0])
	if err != nil {
		return a, v1.Hash{}, err
	}
	defer r.Close()
	a.Data, err = io.ReadAll(checkBlob(r, m.Layers[0]))
	return a, m.Subject.Digest, err
}

// referrers asks a registry what refers to an image; listed says that it keeps
// the list itself.
func (c *Client) referrers(ctx context.Context, repo name.Repository, subject v1.Hash) (index *v1.IndexManifest, listed bool, err error) {
	raw, listed, err := c.listReferrers(ctx, repo, subject)
	if err != nil {
		return nil, false, err
	}
	if !listed {
		got, err := c.get(ctx, repo.Tag(referrersTag(subject)))
		if errors.Is(err, ErrNotFound) {
			empty := newIndex()
			return &empty, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		raw = got.Manifest
	}
	index, err = v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, false, fmt.Errorf("read index of referrers: %w", err)
	}
	return index, listed, nil
}

// listReferrers asks for the list (OCI distribution specification, "Listing
// Referrers"). One of several pages is read to the first, which no image of ours
// fills.
func (c *Client) listReferrers(ctx context.Context, repo name.Repository, subject v1.Hash) (raw []byte, listed bool, err error) {
	client, err := c.authorized(ctx, repo, repo.Scope(transport.PullScope))
	if err != nil {
		return nil, false, err
	}
	u := &uploader{c: c, repo: repo, client: client}
	err = c.retried(ctx, "referrers", func() error {
		r, err := u.do(ctx, http.MethodGet, u.url("/referrers/"+subject.String()), nil)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if listed = r.StatusCode == http.StatusOK && kind == string(types.OCIImageIndex); !listed {
			return u.c.expect(r, http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable)
		}
		raw, err = io.ReadAll(io.LimitReader(r.Body, documentLimit))
		return err
	})
	return raw, listed, err
}

// manifestBlobs are the blobs of a repository and its manifests, which are read
// by their own way.
type manifestBlobs struct{ remoteBlobs }

func (b manifestBlobs) open(d v1.Descriptor) (io.ReadCloser, error) {
	if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
		return b.remoteBlobs.open(d)
	}
	raw, err := b.c.manifest(b.ctx, b.repo.Digest(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}
