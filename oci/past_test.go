package oci_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// asked counts how often layers of steps are looked up: a build that is not done
// looks none up.
type asked struct {
	oci.Store
	layers atomic.Int64
}

func (a *asked) Layers(key string) ([]v1.Descriptor, []byte, bool, error) {
	a.layers.Add(1)
	return a.Store.Layers(key)
}

// pastCase is a build that was done, pushed and is remembered.
type pastCase struct {
	s    *server
	dir  string // of the store
	tags []name.Tag
	b    *oci.Builder
	p    plan.Plan
	base string
	img  *oci.Image
}

// again is a builder of the same build in another process, with nothing but the
// store and the context of the first one.
func (c *pastCase) again(t *testing.T) (*oci.Builder, *asked) {
	t.Helper()
	store, err := cache.Open(c.dir, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a := &asked{Store: store}
	return &oci.Builder{
		Context: c.b.Context, Contexts: c.b.Contexts, Store: a, Runner: installer(), Client: &oci.Client{Cache: store},
		Tags: c.tags, Version: "kanso 1", Project: "p", Name: "n", Now: c.b.Now,
	}, a
}

// pastPlan has a step of every kind, and copies with and without patterns.
func pastPlan(base string) plan.Plan {
	return plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{
		plan.Set{WorkingDir: "/app", Env: []plan.Var{{Name: "A", Value: "1"}}},
		plan.Install{Installer: "pip", Command: []string{"pip"}, Requirements: "x", File: "/app/requirements.txt"},
		plan.Copy{Files: []string{"run.py", "src", "src/lib.py"}, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Adopt: true},
		plan.Copy{Files: []string{"data", "data/a", "data/b", "data/link"}, Patterns: []string{"data"}, Dest: "/data/", Modes: plan.ModesDisk},
		plan.Write{Files: []plan.File{{Path: "/note", Mode: 0o644, Data: "x"}}},
	}}}}
}

// past builds and pushes an image and has it remembered.
func past(t *testing.T) *pastCase {
	t.Helper()
	c := &pastCase{s: serve(t, nil), dir: t.TempDir()}
	c.b = builder(t, map[string]string{"run.py": "print(1)", "src/lib.py": "l", "data/a": "aaaa", "data/b": "bbbb"})
	link(t, c.b.Context, "data/link", "a")
	noon := time.Unix(2e9, 0)
	c.b.Now = func() time.Time { return noon }
	c.base = pushedBase(t, c.s, "/base:1")
	c.p = pastPlan(c.base)
	c.tags = []name.Tag{tag(t, client(t), c.s.host+"/team/image:1")}
	first, _ := c.again(t)
	c.img = c.done(t, first)
	if _, err := first.Client.Push(t.Context(), c.img, c.tags); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *pastCase) done(t *testing.T, b *oci.Builder) *oci.Image {
	t.Helper()
	img, err := b.Build(t.Context(), c.p)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestABuildThatWasDoneBefore is not done again, and says what one says that finds
// all its layers.
func TestABuildThatWasDoneBefore(t *testing.T) {
	c := past(t)
	ordinary, a := c.again(t)
	ordinary.Tags = nil
	want := c.done(t, ordinary)
	if a.layers.Load() == 0 {
		t.Error("without tags no layer was looked up")
	}
	c.s.forget()
	b, a := c.again(t)
	got := c.done(t, b)
	if a.layers.Load() > 0 {
		t.Errorf("it was done: %d layers were looked up", a.layers.Load())
	}
	if got := c.s.requests("GET", "/manifests/"); len(got) > 0 {
		t.Errorf("manifests were read: %q", got)
	}
	if digest(t, got) != digest(t, c.img) || digest(t, got) != digest(t, want) || got.Ran != 0 {
		t.Errorf("image %s after %d steps, want %s after none", digest(t, got), got.Ran, digest(t, want))
	}
	if d := cmp.Diff(want.Steps, got.Steps, cmpopts.IgnoreFields(oci.StepReport{}, "Duration")); d != "" {
		t.Errorf("steps (-done, +not done):\n%s", d)
	}
	bases := func(img *oci.Image) (list []oci.Base) {
		for _, b := range append([]oci.Base{img.Base}, img.Bases...) {
			b.Image = nil
			list = append(list, b)
		}
		return list
	}
	if d := cmp.Diff(bases(want), bases(got)); d != "" {
		t.Errorf("bases (-done, +not done):\n%s", d)
	}
	if _, err := b.Client.Push(t.Context(), got, c.tags); err != nil {
		t.Fatal(err)
	}
	if sent := slices.Concat(c.s.requests("PUT", ""), c.s.requests("POST", "")); len(sent) > 0 {
		t.Errorf("it was sent: %q", sent)
	}
}

// TestABuildOfWhatOnlyOthersKnow is never remembered: what an image, a server, a
// repository or a directory that is lent has is not known before it is asked.
func TestABuildOfWhatOnlyOthersKnow(t *testing.T) {
	for what, step := range map[string]func(c *pastCase) plan.Step{
		"image": func(c *pastCase) plan.Step {
			return plan.Copy{From: plan.Source{Image: c.base}, Patterns: []string{"app"}, Dest: "/x/", Modes: plan.ModesDisk}
		},
		"mount of an image": func(c *pastCase) plan.Step {
			return plan.Run{Args: []string{"x"}, Mounts: []plan.Mount{{Type: plan.MountBind, Target: "/m", From: plan.Source{Image: c.base}}}}
		},
		"mount of the context": func(*pastCase) plan.Step {
			return plan.Run{Args: []string{"x"}, Mounts: []plan.Mount{{Type: plan.MountBind, Target: "/m", Files: []string{"run.py"}}}}
		},
		"owner by a name that nobody has": func(*pastCase) plan.Step {
			return plan.Copy{Files: []string{"run.py"}, Patterns: []string{"run.py"}, Dest: "/y/", Owner: "nobody-there", Modes: plan.ModesDisk}
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := past(t)
			c.p.Stages[0].Steps = append(c.p.Stages[0].Steps, step(c))
			first, _ := c.again(t)
			if _, err := first.Client.Push(t.Context(), c.done(t, first), c.tags); err != nil {
				t.Fatal(err)
			}
			b, a := c.again(t)
			if c.done(t, b); a.layers.Load() == 0 {
				t.Error("it was not done")
			}
		})
	}
}

// TestBuildsThatTakeTurns are all remembered, and each is the last one when it was
// asked for last.
func TestBuildsThatTakeTurns(t *testing.T) {
	c := past(t)
	turn := func(run, lib string) (*oci.Image, int64) {
		c.replace(t, "run.py", run)
		c.replace(t, "src/lib.py", lib)
		b, a := c.again(t)
		img := c.done(t, b)
		if _, err := b.Client.Push(t.Context(), img, c.tags); err != nil {
			t.Fatal(err)
		}
		return img, a.layers.Load()
	}
	if _, done := turn("print(2)", "L"); done == 0 {
		t.Error("the second one was not done")
	}
	if one, done := turn("print(1)", "l"); done == 0 || digest(t, one) != digest(t, c.img) { // the tag is the other one
		t.Errorf("the first one again: %d layers were looked up for %s, want some for %s", done, digest(t, one), digest(t, c.img))
	}
	if _, done := turn("print(2)", "L"); done == 0 {
		t.Error("the second one was not done, and the tag is the first one")
	}
	push(t, client(t), c.img, c.tags[0].Name())
	if _, done := turn("print(1)", "l"); done > 0 {
		t.Error("the first one was done a third time")
	}
	b, _ := c.again(t)
	c.replace(t, "run.py", "print(3)")
	steps, err := b.Explain(t.Context(), c.p)
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, s := range steps {
		changed = append(changed, s.Changed...)
	}
	if d := cmp.Diff([]string{"file app/run.py"}, changed); d != "" {
		t.Errorf("what changed since the last build (-want, +got):\n%s", d)
	}
}

// TestFilesOfABuildAreWhatTheKeySays has a file change after it was looked at: the
// build fails, and nothing is remembered.
func TestFilesOfABuildAreWhatTheKeySays(t *testing.T) {
	for _, name := range []string{"run.py", "data/a"} {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			c := past(t)
			c.replace(t, "src/lib.py", "L")
			c.replace(t, "data/b", "BBBB")
			b, a := c.again(t)
			content := strconv.Itoa(os.Getpid()) + "changed"
			b.Store = &meanwhile{asked: a, do: func() { c.replace(t, name, content) }}
			if _, err := b.Build(t.Context(), c.p); !errors.Is(err, oci.ErrChanged) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v, want %v", err, oci.ErrChanged)
			}
			files, err := filepath.Glob(filepath.Join(c.dir, "values", "builds-1", "*"))
			if err != nil || len(files) != 1 {
				t.Errorf("%d builds are remembered, %v; want the first one", len(files), err)
			}
		})
	}
}

// meanwhile does something when it is asked for the first layer.
type meanwhile struct {
	*asked
	do func()
}

func (m *meanwhile) Layers(key string) ([]v1.Descriptor, []byte, bool, error) {
	if m.layers.Load() == 0 {
		m.do()
	}
	return m.asked.Layers(key)
}

// TestFilesThatChangeWhileAProcessRuns go in as they are when their step begins,
// and the build is not taken for one of the files that there were before.
func TestFilesThatChangeWhileAProcessRuns(t *testing.T) {
	for _, name := range []string{"run.py", "data/a"} {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			c := past(t)
			alter(c, 0, func(s *plan.Install) { s.Requirements = "y" })
			before, err := os.ReadFile(filepath.Join(c.b.Context, name))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := c.again(t)
			b.Runner = func(ctx context.Context, ids sandbox.IDs) (oci.Runner, error) {
				write(t, c.b.Context, name, "changed meanwhile")
				return installer()(ctx, ids)
			}
			changed := c.done(t, b)
			if _, err := b.Client.Push(t.Context(), changed, c.tags); err != nil {
				t.Fatal(err)
			}
			later, _ := c.again(t)
			if got := c.done(t, later); digest(t, got) != digest(t, changed) {
				t.Errorf("what was changed: image %s, want %s", digest(t, got), digest(t, changed))
			}
			write(t, c.b.Context, name, string(before))
			back, a := c.again(t)
			if got := c.done(t, back); digest(t, got) == digest(t, changed) || a.layers.Load() == 0 {
				t.Errorf("the file that there was before gives the image of the changed one")
			}
		})
	}
}
