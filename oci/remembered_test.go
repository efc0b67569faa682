package oci_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// pushedBase pushes a base that has a directory /app, and returns its name.
func pushedBase(t *testing.T, s *server, name string, files ...layers.File) string {
	t.Helper()
	files = append([]layers.File{{Path: "app", Mode: fs.ModeDir | 0o777}, file("app/there", "x", 0o666)}, files...)
	c := client(t)
	b, err := c.Base(t.Context(), baseOn(t, "COPY . /app", files...), "")
	if err != nil {
		t.Fatal(err)
	}
	push(t, c, b.Image, s.host+name)
	return s.host + name
}

// fresh is a builder on a machine that has nothing, with images to remember.
func fresh(t *testing.T, context map[string]string, refs ...string) *oci.Builder {
	t.Helper()
	b := builder(t, context)
	b.Client = client(t)
	b.Remembered = &oci.Memory{Client: b.Client, Refs: refs}
	return b
}

// steps are those of a project with requirements.
func steps(files ...string) []plan.Step {
	return []plan.Step{
		plan.Set{WorkingDir: "/app"},
		plan.Install{Installer: "pip", Command: []string{"pip"}, Requirements: "x", File: "/app/requirements.txt"},
		plan.Copy{Files: files, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Adopt: true},
	}
}

// installer opens a runner whose commands install something.
func installer() func(context.Context, sandbox.IDs) (oci.Runner, error) {
	return func(context.Context, sandbox.IDs) (oci.Runner, error) {
		return &writes{files: []layers.File{
			{Path: "app", Mode: fs.ModeDir | 0o777}, file("app/requirements.txt", "x", 0o666), file("site/x.py", "x", 0o644),
		}}, nil
	}
}

// unread builds an image and reads no layer of it.
func unread(t *testing.T, b *oci.Builder, base string, steps ...plan.Step) *oci.Image {
	t.Helper()
	img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAFreshMachineTakesLayersFromThePushedImage(t *testing.T) {
	s := serve(t, nil)
	base := pushedBase(t, s, "/base:1")
	first := fresh(t, map[string]string{"run.py": "1"})
	first.Runner = installer()
	img := unread(t, first, base, steps("run.py")...)
	push(t, first.Client, img, s.host+"/team/image:1")

	s.forget()
	again := fresh(t, map[string]string{"run.py": "1"}, s.host+"/team/nothing:1", s.host+"/team/image:1")
	same := unread(t, again, base, steps("run.py")...)
	if digest(t, same) != digest(t, img) || same.Ran != 0 {
		t.Errorf("image %s after %d steps, want %s after none", digest(t, same), same.Ran, digest(t, img))
	}
	push(t, again.Client, same, s.host+"/team/image:1")
	if got := layersRead(s, img); len(got) > 0 {
		t.Errorf("layers were read: %q", got)
	}
	for _, r := range same.Steps[1:] {
		if !r.Cached || r.From != s.host+"/team/image:1" {
			t.Errorf("%s: cached %v, from %q", r.Step, r.Cached, r.From)
		}
	}

	s.forget()
	changed := fresh(t, map[string]string{"run.py": "2"}, s.host+"/team/image:1")
	other := unread(t, changed, base, steps("run.py")...)
	push(t, changed.Client, other, s.host+"/team/image:2")
	if digest(t, other) == digest(t, img) || other.Ran != 0 {
		t.Errorf("changed sources: image %s after %d steps", digest(t, other), other.Ran)
	}
	if got := layersRead(s, img); len(got) > 0 {
		t.Errorf("changed sources: layers were read: %q", got)
	}
	if got := s.requests("PUT", "/blobs/"); len(got) != 2 { // the new layer and the configuration
		t.Errorf("changed sources: %q were sent, want two", got)
	}
	local := fresh(t, map[string]string{"run.py": "2"})
	local.Runner = installer()
	if alone := unread(t, local, base, steps("run.py")...); digest(t, alone) != digest(t, other) {
		t.Errorf("without the image to remember the image is %s, with it %s", digest(t, alone), digest(t, other))
	}
}

// layersRead are the requests for bytes of an image's layers.
func layersRead(s *server, img v1.Image) []string {
	m, err := img.Manifest()
	if err != nil {
		return []string{err.Error()}
	}
	var got []string
	for _, l := range m.Layers {
		got = append(got, s.requests("GET", l.Digest.String())...)
	}
	return got
}

func TestWhatWasPushedFromHereIsNotReadAgain(t *testing.T) {
	s := serve(t, nil)
	b := fresh(t, map[string]string{"f": "1"})
	img := unread(t, b, pushedBase(t, s, "/base:1"), copies(t, b, "/f", "f"))
	push(t, b.Client, img, s.host+"/team/image:1")

	s.forget()
	again := client(t)
	again.Cache = b.Client.Cache
	got, err := again.Base(t.Context(), s.host+"/team/image:1", "")
	if err != nil || digest(t, got.Image) != digest(t, img) {
		t.Fatalf("another image than was pushed, %v", err)
	}
	if got := s.requests("GET", "/team/image/"); len(got) > 0 {
		t.Errorf("what was pushed is read: %q", got)
	}
}

func TestLayersOfAnotherBaseAreNotTaken(t *testing.T) {
	s := serve(t, nil)
	first := fresh(t, map[string]string{"run.py": "1"})
	copyStep := plan.Copy{Files: []string{"run.py"}, Dest: "/srv/run", Modes: plan.ModesGit}
	push(t, first.Client, unread(t, first, pushedBase(t, s, "/base:1"), copyStep), s.host+"/team/image:1")

	for _, tt := range []struct {
		base string
		want bool
		off  bool
	}{{"/base:1", true, false}, {"/base:2", false, false}, {"/base:1", false, true}} {
		if tt.base == "/base:2" {
			pushedBase(t, s, tt.base, file("etc/other", "x", 0o644))
		}
		b := fresh(t, map[string]string{"run.py": "1"}, s.host+"/team/image:1")
		if tt.off {
			b.Remembered = nil
		}
		img := unread(t, b, s.host+tt.base, copyStep)
		if got := img.Steps[0].From != ""; got != tt.want {
			t.Errorf("base %s, without memory %v: taken from %q, want that %v", tt.base, tt.off, img.Steps[0].From, tt.want)
		}
	}
}

func TestADockerfilesStepsAreFoundOnAFreshMachine(t *testing.T) {
	s := serve(t, nil)
	base := pushedBase(t, s, "/base:1")
	steps := []plan.Step{
		plan.Write{Missing: true, Files: []plan.File{{Path: "/app", Mode: fs.ModeDir | 0o755}}},
		plan.Set{WorkingDir: "/app"},
		plan.Copy{Patterns: []string{"requirements.txt"}, Files: []string{"requirements.txt"}, Dest: "/app/", Modes: plan.ModesDisk},
		plan.Run{Args: []string{"pip"}},
		plan.Copy{Patterns: []string{"."}, Files: []string{"requirements.txt", "run.py"}, Dest: "/app/", Modes: plan.ModesDisk},
	}
	first := fresh(t, map[string]string{"run.py": "1", "requirements.txt": "x"})
	first.Runner = installer()
	img := unread(t, first, base, steps...)
	push(t, first.Client, img, s.host+"/team/image:1")
	for source, ran := range map[string]int{"1": 0, "2": 0} {
		s.forget()
		b := fresh(t, map[string]string{"run.py": source, "requirements.txt": "x"}, s.host+"/team/image:1")
		got := unread(t, b, base, steps...)
		if got.Ran != ran || (digest(t, got) == digest(t, img)) != (source == "1") {
			t.Errorf("source %s: image %s after %d steps, at first %s", source, digest(t, got), got.Ran, digest(t, img))
		}
		if read := layersRead(s, img); len(read) > 0 {
			t.Errorf("source %s: layers were read: %q", source, read)
		}
	}
}

func TestAnImageThatIsNoneRemembersNothing(t *testing.T) {
	s := serve(t, nil)
	base := pushedBase(t, s, "/base:1")
	b := fresh(t, map[string]string{"run.py": "1"}, "127.0.0.1:1/nobody/there:1", "not a name", base)
	img := unread(t, b, base, plan.Copy{Files: []string{"run.py"}, Dest: "/srv/run", Modes: plan.ModesGit})
	if img.Steps[0].Cached {
		t.Error("a layer was found where there is none")
	}
	if _, err := b.Client.Base(t.Context(), s.host+"/team/nothing:1", ""); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("an image that is not there: %v", err)
	}
}
