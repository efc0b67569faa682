package oci_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/resolve/plan"
)

// TestManifestsThatAreWrong has manifests and indexes that no image has.
func TestManifestsThatAreWrong(t *testing.T) {
	img := linux(t, "amd64")
	whole, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, now string) string { return strings.Replace(string(whole), old, now, 1) }
	for name, c := range map[string]struct{ manifest, want string }{
		"an image and an index in one":      {edit(`"layers":`, `"manifests":[],"layers":`), "both an image and an index"},
		"an index with layers":              {`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"layers":[]}`, "both an image and an index"},
		"a negative size of a layer":        {edit(`"size":1`, `"size":-1`), "negative size"},
		"a layer less than it has":          {edit(`"layers":[`, `"layers":[],"x":[`), "0 layers, configuration 3"},
		"schema 1":                          {edit(`"schemaVersion":2`, `"schemaVersion":1`), "schema 1"},
		"another media type":                {edit(`"mediaType":"application/vnd`, `"mediaType":"application/x`), "not an image"},
		"an index of nothing":               {`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, "no image"},
		"null":                              {`null`, "not an image"},
		"an array":                          {`[]`, "read manifest"},
		"deep nesting":                      {strings.Repeat("[", 1<<20), "read manifest"},
		"a digest that is none":             {edit(`"digest":"sha256:`, `"digest":"sha256:../../`), "read manifest"},
		"a configuration that is not there": {edit(`"config":`, `"konfig":`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := misbehaving(t)
			push(t, client(t), img, u.host+"/a:1")
			kind := "application/vnd.oci.image.manifest.v1+json"
			u.rules(rule{"HEAD", manifestPath, 0, status(405)}, rule{"GET", manifestPath, 0, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.Header().Set("Content-Type", kind)
				_, _ = io.WriteString(w, c.manifest)
			}})
			cl, _ := impatient(t)
			if _, err := cl.Base(t.Context(), u.host+"/a:1", ""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

func TestHundredsOfLayers(t *testing.T) {
	u := misbehaving(t)
	var ls []v1.Layer
	for i := range 300 {
		ls = append(ls, static.NewLayer(fmt.Append(nil, "layer ", i), types.OCIUncompressedLayer))
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), ls...)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := impatient(t)
	push(t, c, img, u.host+"/a:1")
	d, _ := impatient(t)
	if got, err := pull(t.Context(), d, u.host+"/a:1"); err != nil || digest(t, got) != digest(t, img) {
		t.Error(err)
	}
}

func TestURLsInDescriptorsAreNotFollowed(t *testing.T) {
	u, other := misbehaving(t), misbehaving(t)
	img := linux(t, "amd64")
	push(t, client(t), img, u.host+"/a:1")
	whole, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, []byte(`"layers":[{`)) + len(`"layers":[{`)
	changed := string(whole[:at]) + `"urls":["http://` + other.host + `/blob"],` + string(whole[at:])
	u.rules(rule{"HEAD", manifestPath, 0, status(405)}, rule{"GET", manifestPath, 0, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		_, _ = io.WriteString(w, changed)
	}})
	c, _ := impatient(t)
	if _, err := pull(t.Context(), c, u.host+"/a:1"); err != nil || other.asked("", "") > 0 {
		t.Errorf("%v; the other host was asked %d times", err, other.asked("", ""))
	}
}

// TestAConfigurationSaysNothingOfOthersLayers has an image whose configuration
// calls its layer by the diff id of another image's: building on it is an error,
// and what is kept of the other image stays right.
func TestAConfigurationSaysNothingOfOthersLayers(t *testing.T) {
	u := misbehaving(t)
	good, evil := linux(t, "amd64"), linux(t, "amd64")
	gcfg, err := good.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	ecfg, err := evil.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	ecfg = ecfg.DeepCopy()
	ecfg.RootFS.DiffIDs = gcfg.RootFS.DiffIDs
	lying, err := mutate.ConfigFile(evil, ecfg)
	if err != nil {
		t.Fatal(err)
	}
	push(t, client(t), good, u.host+"/good:1")
	push(t, client(t), lying, u.host+"/evil:1")
	b := builder(t, map[string]string{"f": "x"})
	b.Client.Cache = b.Store.(*cache.Dir)
	// In this order: what is made of the good one first is right for both.
	for _, c := range [][2]string{{"/evil:1", "as the configuration says"}, {"/good:1", ""}} {
		ref, want := c[0], c[1]
		stages := []plan.Stage{
			{Name: "from", Base: u.host + ref},
			{Base: u.host + ref, Steps: []plan.Step{plan.Copy{From: plan.Source{Stage: "from"}, Patterns: []string{"*"}, Dest: "/copied/"}}},
		}
		_, err := b.Build(t.Context(), plan.Plan{Stages: stages})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}
