package oci_test

import (
	"errors"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/oci"
)

// A base is the one of then, whatever its tag has become; one on disk cannot be
// found again under another digest.
func TestBasesOfThen(t *testing.T) {
	s := serve(t, nil)
	then, now := linux(t, "amd64"), linux(t, "amd64")
	ref := s.host + "/team/base:1"
	place := "oci:" + filepath.Join(t.TempDir(), "layout")
	out, err := oci.ParseOutput(place)
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range []v1.Image{then, now} {
		push(t, client(t), img, ref)
		if err := oci.WriteArchive(t.Context(), out, img, "1"); err != nil {
			t.Fatal(err)
		}
	}
	c := client(t)
	c.Pins = map[string]v1.Hash{ref: digest(t, then), place: digest(t, then)}
	b, err := c.Base(t.Context(), ref, "")
	if err != nil {
		t.Fatal(err)
	}
	if b.Digest != digest(t, then) || b.Name != ref {
		t.Errorf("%s is %s, want %s", b.Name, b.Digest, digest(t, then))
	}
	var moved *oci.MovedError
	if _, err := c.Base(t.Context(), place, ""); !errors.As(err, &moved) || moved.Have != digest(t, now) || moved.Want != digest(t, then) {
		t.Errorf("%v", err)
	}
	c.Pins[place] = digest(t, now)
	if _, err := c.Base(t.Context(), place, ""); err != nil {
		t.Error(err)
	}
}
