package oci_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kanso-build/kanso/oci"
)

func TestArchivesComeBackAsTheyWere(t *testing.T) {
	img, c := linux(t, "amd64"), client(t)
	for _, kind := range []string{"oci", "oci-archive", "docker-archive"} {
		var first []byte
		for range 2 {
			place := filepath.Join(t.TempDir(), "out")
			o, err := oci.ParseOutput(kind + ":" + place)
			if err != nil {
				t.Fatal(err)
			}
			if err := oci.WriteArchive(t.Context(), o, img, "team/app:1"); err != nil {
				t.Fatal(err)
			}
			b, err := c.Base(t.Context(), kind+":"+place, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(b.Image); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			want, _ := img.ConfigName()
			if got, _ := b.Image.ConfigName(); got != want {
				t.Errorf("%s: configuration is %s, want %s", kind, got, want)
			}
			if kind == "oci" {
				continue
			}
			data, err := os.ReadFile(place)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			} else if !bytes.Equal(first, data) {
				t.Errorf("%s: the bytes differ between two writes", kind)
			}
		}
	}
}

func TestALayoutKeepsItsOtherTags(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "l")
	c := client(t)
	images := map[string]v1.Image{"a": linux(t, "amd64"), "b": linux(t, "amd64")}
	for _, tag := range []string{"a", "b", "a"} {
		o, err := oci.ParseOutput("oci:" + dir + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := oci.WriteArchive(t.Context(), o, images[tag], ""); err != nil {
			t.Fatal(err)
		}
	}
	for tag, img := range images {
		if b, err := c.Base(t.Context(), "oci:"+dir+":"+tag, ""); err != nil || b.Digest != digest(t, img) {
			t.Errorf("%s: %v, %v", tag, b.Digest, err)
		}
	}
	if _, err := c.Base(t.Context(), "oci:"+dir, ""); err == nil || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("without a tag: %v", err)
	}
}

// failing is an image whose second layer cannot be read.
type failingLayer struct{ v1.Layer }

func (failingLayer) Compressed() (io.ReadCloser, error) { return nil, errors.New("gone") }

func TestNothingHalfWrittenStays(t *testing.T) {
	l, err := random.Layer(1000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, failingLayer{l})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"oci", "oci-archive", "docker-archive"} {
		dir := t.TempDir()
		o, err := oci.ParseOutput(kind + ":" + filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		if err := oci.WriteArchive(t.Context(), o, img, ""); err == nil {
			t.Errorf("%s: it was written", kind)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", kind, left, err)
		}
	}
}
