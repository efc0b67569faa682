package oci

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referrers answers what refers to a manifest (OCI distribution specification,
// "Listing Referrers"): all manifests of the repository are looked through.
func (g *registry) referrers(w http.ResponseWriter, r *http.Request, repo, digest string) {
	if !digestName.MatchString(digest) {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "not a sha256 digest")
		return
	}
	index := newIndex()
	dir := filepath.Join(g.repository(repo), "_manifests")
	entries, _ := os.ReadDir(dir) // a repository without manifests has none that refer
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || subjectIn(data) != digest {
			continue
		}
		d := describeBytes(types.MediaType(kindOf(data)), data)
		var m v1.Manifest
		if json.Unmarshal(data, &m) != nil {
			continue
		}
		if d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations; d.ArtifactType == "" {
			d.ArtifactType = string(m.Config.MediaType)
		}
		if kind := r.URL.Query().Get("artifactType"); kind == "" || kind == d.ArtifactType {
			index.Manifests = append(index.Manifests, d)
		}
	}
	if r.URL.Query().Has("artifactType") {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	body, _ := json.Marshal(index) // descriptors always encode
	_, _ = w.Write(body)           // the client is gone if this fails
}

// subjectIn is the digest of what a manifest refers to; empty for nothing.
func subjectIn(manifest []byte) string {
	var m struct {
		Subject struct {
			Digest string `json:"digest"`
		} `json:"subject"`
	}
	if json.Unmarshal(manifest, &m) != nil {
		return ""
	}
	return strings.ToLower(m.Subject.Digest)
}
