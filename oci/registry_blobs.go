package oci

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

func (g *registry) blobFile(digest string) string {
	return filepath.Join(g.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// blob answers GET and HEAD of a blob, with ranges.
func (g *registry) blob(w http.ResponseWriter, r *http.Request, digest string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "blobs are read, or uploaded under uploads/")
		return
	}
	if !digestName.MatchString(digest) {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "not a sha256 digest")
		return
	}
	f, err := os.Open(g.blobFile(digest))
	if err != nil {
		fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "no such blob")
		return
	}
	defer f.Close()
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
}

// upload begins, continues and ends uploads.
func (g *registry) upload(w http.ResponseWriter, r *http.Request, repo, id string) {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && id == "":
		if d := q.Get("mount"); digestName.MatchString(d) && exists(g.blobFile(d)) {
			g.created(w, repo, d)
			return
		}
		g.begin(w, r, repo, q.Get("digest"))
	case !uploadName.MatchString(id) || !exists(g.uploadFile(id)):
		fail(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload")
	case r.Method == http.MethodPatch:
		g.append(w, r, repo, id)
	case r.Method == http.MethodPut:
		g.finish(w, r, repo, id, q.Get("digest"))
	case r.Method == http.MethodGet:
		g.accepted(w, repo, id, http.StatusNoContent)
	case r.Method == http.MethodDelete:
		_ = os.Remove(g.uploadFile(id)) // it is forgotten either way
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "no such method")
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func (g *registry) uploadFile(id string) string { return filepath.Join(g.dir, "uploads", id) }

func (g *registry) begin(w http.ResponseWriter, r *http.Request, repo, digest string) {
	id := rand.Text()
	if err := os.WriteFile(g.uploadFile(id), nil, 0o644); err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	if digest != "" {
		g.finish(w, r, repo, id, digest)
		return
	}
	g.accepted(w, repo, id, http.StatusAccepted)
}

// accepted says where an upload goes on and how far it is.
func (g *registry) accepted(w http.ResponseWriter, repo, id string, status int) {
	var size int64
	if info, err := os.Stat(g.uploadFile(id)); err == nil {
		size = info.Size()
	}
	w.Header().Set("Location", "/v2/"+repo+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", "0-"+strconv.FormatInt(max(0, size-1), 10))
	w.WriteHeader(status)
}

func (g *registry) append(w http.ResponseWriter, r *http.Request, repo, id string) {
	if err := g.take(r, id); err != nil {
		fail(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", err.Error())
		return
	}
	g.accepted(w, repo, id, http.StatusAccepted)
}

// take appends a request's body to an upload.
func (g *registry) take(r *http.Request, id string) error {
	f, err := os.OpenFile(g.uploadFile(id), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if first, _, ok := strings.Cut(r.Header.Get("Content-Range"), "-"); ok {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if first != strconv.FormatInt(info.Size(), 10) {
			return fmt.Errorf("the upload has %d bytes", info.Size())
		}
	}
	_, err = io.Copy(f, r.Body)
	return err
}

// finish checks the digest and keeps the blob.
func (g *registry) finish(w http.ResponseWriter, r *http.Request, repo, id, digest string) {
	if !digestName.MatchString(digest) {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "not a sha256 digest")
		return
	}
	if err := g.take(r, id); err != nil {
		fail(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", err.Error())
		return
	}
	got, err := hashFile(g.uploadFile(id))
	if err == nil && got != digest {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "the content is "+got)
		return
	}
	if err == nil {
		err = os.Rename(g.uploadFile(id), g.blobFile(digest))
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	g.created(w, repo, digest)
}

func (g *registry) created(w http.ResponseWriter, repo, digest string) {
	w.Header().Set("Location", "/v2/"+repo+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func hashFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), err
}

// manifest reads and writes manifests.
func (g *registry) manifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	if !digestName.MatchString(ref) && !tagName.MatchString(ref) {
		fail(w, http.StatusBadRequest, "TAG_INVALID", "neither tag nor digest")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		g.getManifest(w, r, repo, ref)
	case http.MethodPut:
		g.putManifest(w, r, repo, ref)
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "nothing is deleted")
	}
}

func (g *registry) getManifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	digest := ref
	if !digestName.MatchString(ref) {
		data, err := os.ReadFile(filepath.Join(g.repository(repo), "_tags", ref))
		if err != nil {
			fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no such tag")
			return
		}
		digest = string(data)
	}
	data, err := os.ReadFile(filepath.Join(g.repository(repo), "_manifests", strings.TrimPrefix(digest, "sha256:")))
	if err != nil {
		fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no such manifest")
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Type", kindOf(data))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// kindOf is the media type that a manifest says it has.
func kindOf(data []byte) string {
	var m struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if json.Unmarshal(data, &m) == nil && m.MediaType != "" {
		return m.MediaType
	}
	if m.Manifests != nil {
		return string(types.OCIImageIndex)
	}
	return string(types.OCIManifestSchema1)
}

func (g *registry) putManifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	data, err := io.ReadAll(io.LimitReader(r.Body, documentLimit+1))
	if err != nil || len(data) > documentLimit || !json.Valid(data) {
		fail(w, http.StatusBadRequest, "MANIFEST_INVALID", "not a manifest")
		return
	}
	sum := sha256.Sum256(data)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if digestName.MatchString(ref) && ref != digest {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "the manifest is "+digest)
		return
	}
	if missing := g.missing(data); missing != "" {
		fail(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "there is no blob "+missing)
		return
	}
	err = write(filepath.Join(g.repository(repo), "_manifests", digest[len("sha256:"):]), data)
	if err == nil && !digestName.MatchString(ref) {
		err = write(filepath.Join(g.repository(repo), "_tags", ref), []byte(digest))
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	if subject := subjectIn(data); subject != "" {
		w.Header().Set("OCI-Subject", subject)
	}
	w.Header().Set("Location", "/v2/"+repo+"/manifests/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// missing is a blob that an image names and that is not there.
func (g *registry) missing(manifest []byte) string {
	type blob struct {
		Digest string `json:"digest"`
	}
	var m struct {
		Config *blob  `json:"config"`
		Layers []blob `json:"layers"`
	}
	if json.Unmarshal(manifest, &m) != nil || m.Config == nil {
		return ""
	}
	for _, b := range append(m.Layers, *m.Config) {
		if !digestName.MatchString(b.Digest) || !exists(g.blobFile(b.Digest)) {
			return b.Digest
		}
	}
	return ""
}

// write writes a file whole.
func write(file string, data []byte) error {
	return placeFile(file, inMemory("", data))
}
