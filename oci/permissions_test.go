package oci_test

import (
	"io/fs"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// TestAFreshMachineNeedsNoLayerForAChmod builds what ZenML's Dockerfile ends in
// where nothing is known but the image that was pushed before: no layer is read,
// nothing can be run, and what is sent is what changed.
func TestAFreshMachineNeedsNoLayerForAChmod(t *testing.T) {
	s := serve(t, nil)
	layer := layerOf(t, layers.File{Path: "bin", Mode: fs.ModeDir | 0o755}, file("bin/busybox", "program", 0o755),
		layers.File{Path: "bin/sh", Mode: fs.ModeSymlink | 0o777, Link: "busybox"}, layers.File{Path: "bin/chmod", Mode: fs.ModeSymlink | 0o777, Link: "busybox"})
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.ConfigFile(img, withPlatform(t, img)); err != nil {
		t.Fatal(err)
	}
	c := client(t)
	push(t, c, img, s.host+"/base:1")
	files := mixed()
	var names []string
	for name := range files {
		names = append(names, name)
	}
	p := plan.Plan{Stages: []plan.Stage{{Base: s.host + "/base:1", Lines: []string{"1", "2", "3", "4"}, Steps: []plan.Step{
		plan.Write{Files: []plan.File{{Path: "/app", Mode: fs.ModeDir | 0o755}}, Missing: true},
		plan.Set{WorkingDir: "/app"},
		plan.Copy{Files: names, Patterns: []string{"."}, Dest: "/app/", Modes: plan.ModesGit},
		plan.Run{Args: []string{"/bin/sh", "-c", "chmod -R a+rw ."}},
	}}}}
	for i := range 3 {
		if i == 2 {
			files["src/module_007.py"] = "changed"
		}
		b := builder(t, files)
		b.Client = client(t)
		b.Remembered = &oci.Memory{Client: b.Client, Refs: []string{s.host + "/app:1"}}
		s.forget()
		out, err := b.Build(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if out.Ran != 0 {
			t.Errorf("build %d ran %d steps", i, out.Ran)
		}
		push(t, b.Client, out, s.host+"/app:1")
		if got := s.requests("GET", "/blobs/"); i > 0 && len(got) != 2 {
			t.Errorf("build %d read more than two configurations: %q", i, got)
		}
		// In the end: a layer with the file, one with its permissions, the configuration.
		want := []int{-1, 0, 3}[i]
		if sent := len(s.requests("PUT", "/blobs/")); want >= 0 && sent != want {
			t.Errorf("build %d sent %d blobs", i, sent)
		}
		open := 0
		for _, layer := range contents(t, out, 2) {
			for _, line := range layer {
				if strings.HasPrefix(line, "-rw-rw-rw- app/") {
					open++
				}
			}
		}
		if open != len(files) {
			t.Errorf("build %d: %d of %d files are for everybody", i, open, len(files))
		}
	}
}

// withPlatform is the configuration of an image for linux/amd64.
func withPlatform(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	return cfg
}
