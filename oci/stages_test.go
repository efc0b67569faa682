package oci_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// buildStages builds a plan of several stages.
func buildStages(t *testing.T, b *oci.Builder, stages ...plan.Stage) *oci.Image {
	t.Helper()
	img, err := b.Build(t.Context(), plan.Plan{Stages: stages})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Fatalf("image is not valid: %v", err)
	}
	return img
}

func copyFrom(stage, pattern, dest string) plan.Copy {
	return plan.Copy{From: plan.Source{Stage: stage}, Patterns: []string{pattern}, Dest: dest, Modes: plan.ModesDisk}
}

func TestAStagesFilesAreCopiedFromItsLayers(t *testing.T) {
	b := builder(t, nil)
	run := &writes{files: []layers.File{
		{Path: "out", Mode: fs.ModeDir | 0o750, UID: 7, GID: 8}, file("out/bin", "new", fs.ModeSetuid|0o755),
		{Path: "out/cap", Mode: 0o755, Xattrs: map[string]string{"security.capability": "\x01\x00"}},
		{Path: "out/same", Mode: fs.ModeSetuid | 0o755, HardLink: true, Link: "out/bin"},
		{Path: "out/link", Mode: fs.ModeSymlink | 0o777, Link: "/etc/passwd"},
		{Path: "out/pipe", Mode: fs.ModeNamedPipe | 0o600},
	}}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	base := plainBase(t)
	stages := []plan.Stage{
		{Name: "build", Base: base, Steps: []plan.Step{plan.Run{Args: []string{"make"}}}},
		{Base: oci.Scratch, Steps: []plan.Step{copyFrom("build", "/out", "/srv/app"), copyFrom("build", "etc/pass*", "/names")}},
	}
	img := buildStages(t, b, stages...)
	want := [][]string{
		{
			"drwxr-xr-x srv", "drwxr-xr-x srv/app", "urwxr-xr-x srv/app/bin new", "-rwxr-xr-x srv/app/cap ",
			"Lrwxrwxrwx srv/app/link", "prw------- srv/app/pipe", "urwxr-xr-x srv/app/same ",
		},
		{"-rw-r--r-- names root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"},
	}
	if d := cmp.Diff(want, contents(t, img, 0)); d != "" {
		t.Error(d)
	}
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ls[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, err := layers.List(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Entries {
		switch e.Path {
		case "srv/app/same":
			if !e.HardLink || e.Link != "srv/app/bin" {
				t.Errorf("the hard link is not kept: %+v", e)
			}
		case "srv/app/cap":
			if string(e.Xattrs["security.capability"]) != "\x01\x00" {
				t.Errorf("the file capabilities are not kept: %+v", e)
			}
		}
	}
	if again := buildStages(t, b, stages...); digest(t, again) != digest(t, img) || again.Ran != 0 {
		t.Errorf("it came out differently the second time, after %d commands", again.Ran)
	}
}

func TestACopyFromAStageIsKnownByItsContent(t *testing.T) {
	b := builder(t, nil)
	run := &writes{files: []layers.File{file("bin", "same", 0o755), file("log", "first", 0o644)}}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	stages := func(args string) []plan.Stage {
		return []plan.Stage{
			{Name: "build", Base: plainBase(t), Steps: []plan.Step{plan.Run{Args: []string{args}}}},
			{Base: oci.Scratch, Steps: []plan.Step{copyFrom("build", "bin", "/")}},
		}
	}
	buildStages(t, b, stages("make")...)
	run.files[1] = file("log", "second", 0o644)
	img := buildStages(t, b, stages("make again")...)
	last := img.Steps[len(img.Steps)-1]
	if len(run.ran) != 2 || !last.Cached {
		t.Errorf("ran %d times; the copied file is the same, but the copy was made again: %+v", len(run.ran), last)
	}
}

func TestStagesThatNobodyNeedsAreNotCarriedOut(t *testing.T) {
	b := builder(t, nil)
	img := buildStages(t, b,
		plan.Stage{Name: "unused", Base: "oci:/nowhere", Steps: []plan.Step{plan.Run{Args: []string{"false"}}}},
		plan.Stage{Base: plainBase(t), Steps: []plan.Step{plan.Set{User: "app"}}},
	)
	if len(img.Steps) != 1 || img.Steps[0].Stage != "" {
		t.Errorf("got %+v", img.Steps)
	}
}

// meeting is a runner whose commands wait for each other.
type meeting struct {
	writes
	wait sync.WaitGroup
	mu   sync.Mutex
}

func (m *meeting) Run(ctx context.Context, c sandbox.Command) error {
	m.wait.Done()
	m.wait.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := c.Stdout.Write([]byte("hello\nfrom " + c.Args[0])); err != nil {
		return err
	}
	return m.writes.Run(ctx, c)
}

func TestIndependentStagesRunSideBySide(t *testing.T) {
	b := builder(t, nil)
	run := &meeting{writes: writes{files: []layers.File{file("f", "x", 0o644)}}}
	run.wait.Add(2) // neither command ends before both have begun
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	var out strings.Builder
	b.Output = &out
	base := plainBase(t)
	img := buildStages(t, b,
		plan.Stage{Name: "one", Base: base, Steps: []plan.Step{plan.Run{Args: []string{"a"}}}},
		plan.Stage{Name: "two", Base: base, Steps: []plan.Step{plan.Run{Args: []string{"b"}}}},
		plan.Stage{Base: oci.Scratch, Steps: []plan.Step{copyFrom("one", "f", "/one"), copyFrom("two", "f", "/two")}},
	)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	slices.Sort(lines)
	if d := cmp.Diff([]string{"[one] from a", "[one] hello", "[two] from b", "[two] hello"}, lines); d != "" {
		t.Error(d)
	}
	var stages []string
	for _, s := range img.Steps {
		stages = append(stages, s.Stage)
	}
	if d := cmp.Diff([]string{"one", "two", "stage 3", "stage 3"}, stages); d != "" {
		t.Error(d)
	}
}

func TestAStageContinuesAnother(t *testing.T) {
	b := builder(t, map[string]string{"f": "x", "g": "y"})
	base := plainBase(t)
	context := func(name string) plan.Copy {
		return plan.Copy{Patterns: []string{name}, Files: []string{name}, Dest: "/d/", Modes: plan.ModesDisk}
	}
	img := buildStages(t, b,
		plan.Stage{Name: "common", Base: base, Steps: []plan.Step{plan.Set{Env: []plan.Var{{Name: "B", Value: "1"}}}, context("f")}},
		plan.Stage{Name: "other", BaseStage: "common", Steps: []plan.Step{plan.Set{Env: []plan.Var{{Name: "B", Value: "2"}}}}},
		plan.Stage{BaseStage: "common", Steps: []plan.Step{context("g"), copyFrom("other", "d/f", "/d/f2")}},
	)
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(cfg.Config.Env, "B=1") {
		t.Errorf("the environment is %q", cfg.Config.Env)
	}
	want := [][]string{{"drwxr-xr-x d", "-rw------- d/f x"}, {"drwxr-xr-x d", "-rw------- d/g y"}, {"drwxr-xr-x d", "-rw------- d/f2 x"}}
	if d := cmp.Diff(want, contents(t, img, 1)); d != "" {
		t.Error(d)
	}
}

func TestErrorsNameLineAndStage(t *testing.T) {
	b := builder(t, nil)
	run := &writes{fail: errors.New("exit status 3")}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{
		{Name: "build", Base: plainBase(t), Steps: []plan.Step{plan.Run{Args: []string{"make"}}}, Lines: []string{"Dockerfile:7"}},
		{Base: oci.Scratch, Steps: []plan.Step{copyFrom("build", "/", "/")}},
	}})
	if err == nil || err.Error() != "Dockerfile:7 (build): RUN make: exit status 3" {
		t.Errorf("got %v", err)
	}
	_, err = b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: oci.Scratch, Steps: []plan.Step{copyFrom("later", "/", "/")}}}})
	if err == nil || !strings.Contains(err.Error(), `no stage "later"`) {
		t.Errorf("got %v", err)
	}
}

func TestExplainingStagesRunsNothing(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	file := plan.Copy{Patterns: []string{"f"}, Files: []string{"f"}, Dest: "/a/", Modes: plan.ModesDisk}
	p := plan.Plan{Stages: []plan.Stage{
		{Name: "files", Base: oci.Scratch, Steps: []plan.Step{file}},
		{Name: "ran", Base: plainBase(t), Steps: []plan.Step{plan.Run{Args: []string{"true"}}}},
		{Base: oci.Scratch, Steps: []plan.Step{copyFrom("files", "a", "/"), copyFrom("ran", "f", "/"), copyFrom("files", "a", "/b")}},
	}}
	reports, err := b.Explain(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 5 || reports[2].Key == "" || !reports[3].Unknown || !reports[4].Unknown {
		t.Fatalf("got %+v", reports)
	}
	run := &writes{files: []layers.File{{Path: "f", Mode: 0o644}}}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	img := buildStages(t, b, p.Stages...)
	if img.Steps[2].Key != reports[2].Key {
		t.Errorf("explained %s, made %s", reports[2].Key, img.Steps[2].Key)
	}
}

func TestFilesOfANamedContextAreThoseOfThePlan(t *testing.T) {
	b := builder(t, nil)
	dir := t.TempDir()
	for name, content := range map[string]string{"keep": "1", "drop.log": "2", "d/deep.log": "3"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "d"), 0o711); err != nil {
		t.Fatal(err)
	}
	b.Contexts = map[string]string{"extra": dir}
	img := build(t, b, oci.Scratch, plan.Copy{From: plan.Source{Context: "extra"}, Files: []string{"d", "d/deep.log", "keep"}, Patterns: []string{"."}, Dest: "/x", Modes: plan.ModesDisk})
	want := [][]string{{"drwxr-xr-x x", "drwx--x--x x/d", "-rw------- x/d/deep.log 3", "-rw------- x/keep 1"}}
	if d := cmp.Diff(want, contents(t, img, 0)); d != "" {
		t.Error(d)
	}
}

func TestFilesAreCopiedFromImages(t *testing.T) {
	b := builder(t, nil)
	base := plainBase(t)
	img := build(t, b, oci.Scratch, plan.Copy{From: plan.Source{Image: base}, Patterns: []string{"/etc/passwd"}, Dest: "/p", Modes: plan.ModesDisk})
	if got := contents(t, img, 0); len(got) != 1 || len(got[0]) != 1 || !strings.HasPrefix(got[0][0], "-rw-r--r-- p root") {
		t.Errorf("got %q", got)
	}
}

func TestLayersOfABaseAreDownloadedOnce(t *testing.T) {
	s := serve(t, nil)
	c := client(t)
	at := push(t, c, linux(t, "amd64"), s.host+"/team/base:1")
	b := builder(t, map[string]string{"f": "x"})
	b.Client = c
	c.Cache, _ = b.Store.(oci.Blobs)
	run := &writes{files: []layers.File{file("g", "y", 0o644)}}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	s.forget()
	img := buildStages(t, b,
		plan.Stage{Name: "one", Base: at.String(), Steps: []plan.Step{copies(t, b, "/d/", "f"), plan.Run{Args: []string{"true"}}}},
		plan.Stage{Base: oci.Scratch, Steps: []plan.Step{copyFrom("one", "d/f", "/")}},
	)
	if d := cmp.Diff([]string{"-rw------- f"}, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
	if got := s.requests("GET", "/blobs/"); len(got) != 4 { // three layers and the configuration
		t.Errorf("asked for %q", got)
	}
}

func TestACancelledBuildEndsItsStages(t *testing.T) {
	b := builder(t, nil)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	run := &waiting{began: func() { cancel(why) }}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	_, err := b.Build(ctx, plan.Plan{Stages: []plan.Stage{
		{Name: "one", Base: plainBase(t), Steps: []plan.Step{plan.Run{Args: []string{"sleep"}}}},
		{Name: "two", BaseStage: "one", Steps: []plan.Step{plan.Set{User: "app"}}},
		{Base: oci.Scratch, Steps: []plan.Step{copyFrom("two", "/", "/")}},
	}})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// waiting is a runner whose commands end when they are cancelled.
type waiting struct {
	writes
	began func()
}

func (w *waiting) Run(ctx context.Context, _ sandbox.Command) error {
	w.began()
	<-ctx.Done()
	return context.Cause(ctx)
}
