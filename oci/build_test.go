package oci_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// layerOf makes a gzip layer of files.
func layerOf(t *testing.T, files ...layers.File) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	err := layers.Write(t.Context(), &buf, func(yield func(layers.File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func file(p, content string, mode fs.FileMode) layers.File {
	return layers.File{Path: p, Mode: mode, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

// baseOn writes an OCI layout with one layer that the history tells of, and
// returns the reference to it.
func baseOn(t *testing.T, createdBy string, files ...layers.File) string {
	t.Helper()
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layerOf(t, files...), History: v1.History{CreatedBy: createdBy}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Created = v1.Time{Time: time.Unix(1e9, 0).UTC()}
	cfg.Config.Env = []string{"PATH=/usr/bin", "A=1"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	ref := "oci:" + filepath.Join(t.TempDir(), "base") + ":latest"
	out, err := oci.ParseOutput(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := oci.WriteArchive(t.Context(), out, img, "base:latest"); err != nil {
		t.Fatal(err)
	}
	return ref
}

func plainBase(t *testing.T) string {
	return baseOn(t, "debootstrap", layers.File{Path: "etc", Mode: fs.ModeDir | 0o755},
		file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n", 0o644))
}

// builder returns a builder with a store of its own and a context directory.
func builder(t *testing.T, context map[string]string) *oci.Builder {
	t.Helper()
	store, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range context {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &oci.Builder{Context: dir, Client: &oci.Client{}, Store: store}
}

func build(t *testing.T, b *oci.Builder, base string, steps ...plan.Step) *oci.Image {
	t.Helper()
	img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Fatalf("image is not valid: %v", err)
	}
	return img
}

// contents lists the layers that were put on the base, one line per entry.
func contents(t *testing.T, img *oci.Image, below int) [][]string {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, l := range ls[below:] {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		err = layers.Each(t.Context(), r, func(e layers.Entry, content io.Reader) error {
			line := e.Mode.String() + " " + e.Path
			if e.UID != 0 || e.GID != 0 {
				line += " owned"
			}
			if e.Mode.IsRegular() {
				data, err := io.ReadAll(content)
				if err != nil {
					return err
				}
				if len(data) < 100 {
					line += " " + string(data)
				}
			}
			lines = append(lines, line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		all = append(all, lines)
	}
	return all
}

func TestSourcesBecomeOneLayerWithGitsModes(t *testing.T) {
	b := builder(t, map[string]string{"run.py": "print(1)", "steps/a.py": "a"})
	if err := os.Chmod(filepath.Join(b.Context, "run.py"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run.py", filepath.Join(b.Context, "link")); err != nil {
		t.Fatal(err)
	}
	img := build(t, b, plainBase(t),
		plan.Set{WorkingDir: "/app", Env: []plan.Var{{Name: "A", Value: "2"}, {Name: "B", Value: "3"}}},
		plan.Copy{Files: []string{"link", "run.py", "steps", "steps/a.py"}, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Owner: "app"},
	)
	want := [][]string{{
		"drwxr-xr-x app", "Lrwxrwxrwx app/link owned", "-rwxrwxrwx app/run.py owned print(1)", "drwxrwxrwx app/steps owned", "-rw-rw-rw- app/steps/a.py owned a",
	}}
	if d := cmp.Diff(want, contents(t, img, 1)); d != "" {
		t.Error(d)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"PATH=/usr/bin", "A=2", "B=3"}, cfg.Config.Env); d != "" {
		t.Error(d)
	}
	if cfg.Config.WorkingDir != "/app" || !cfg.Created.Equal(time.Unix(1e9, 0)) {
		t.Errorf("working directory %q, created %v", cfg.Config.WorkingDir, cfg.Created)
	}
	for _, h := range cfg.History[1:] {
		if !h.EmptyLayer && !strings.HasPrefix(h.Comment, "kanso ") {
			t.Errorf("history entry %q has no key", h.CreatedBy)
		}
	}
}

func TestLinksOnPathsOfTheBaseAreFollowed(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	base := baseOn(t, "RUN ln -s /srv/real /app",
		layers.File{Path: "srv/real", Mode: fs.ModeDir | 0o711, UID: 5}, layers.File{Path: "app", Mode: fs.ModeSymlink | 0o777, Link: "/srv/real"})
	img := build(t, b, base, plan.Copy{Files: []string{"f"}, Dest: "/app", Modes: plan.ModesGit})
	want := [][]string{{"drwxr-xr-x srv", "drwx--x--x srv/real owned", "-rw-r--r-- srv/real/f x"}}
	if d := cmp.Diff(want, contents(t, img, 1)); d != "" {
		t.Error(d)
	}
}

func TestBuildingAgainGivesTheSameImageFromTheCache(t *testing.T) {
	b := builder(t, map[string]string{"a.py": "1", "big.bin": strings.Repeat("x", 5<<20)})
	base := plainBase(t)
	steps := []plan.Step{plan.Copy{Files: []string{"a.py", "big.bin"}, Dest: "/app", Modes: plan.ModesGit}, plan.Set{User: "app"}}
	first := build(t, b, base, steps...)
	if err := os.Chtimes(filepath.Join(b.Context, "a.py"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	again := build(t, b, base, steps...)
	if a, b := digest(t, first), digest(t, again); a != b {
		t.Errorf("digests are %s and %s", a, b)
	}
	for _, s := range again.Steps {
		if s.Key != "" && !s.Cached {
			t.Errorf("%s was made again", s.Step)
		}
	}
	if err := os.WriteFile(filepath.Join(b.Context, "a.py"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := build(t, b, base, steps...)
	var made []string
	for _, s := range changed.Steps {
		if s.Key != "" && !s.Cached {
			made = append(made, s.Step)
		}
	}
	if len(made) != 1 || strings.Contains(made[0], "big") {
		t.Errorf("made %v, want the layer of code alone", made)
	}
	other := builder(t, map[string]string{"a.py": "2", "big.bin": strings.Repeat("x", 5<<20)})
	if a, b := digest(t, changed), digest(t, build(t, other, base, steps...)); a != b {
		t.Errorf("another machine makes %s, not %s", b, a)
	}
}

func digest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAStepThatNeedsIDsIsTriedOnceMore(t *testing.T) {
	b := builder(t, nil)
	run := &writes{fail: sandbox.ErrNeedsIDs}
	var asked []sandbox.IDs
	b.Runner = func(_ context.Context, ids sandbox.IDs) (oci.Runner, error) {
		asked = append(asked, ids)
		return run, nil
	}
	build(t, b, plainBase(t), plan.Run{Args: []string{"true"}})
	if d := cmp.Diff([]sandbox.IDs{"", sandbox.IDsSubuid}, asked); d != "" {
		t.Error(d)
	}
}

func TestWithoutARunnerOnlyStepsThatRunFail(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	base := plainBase(t)
	build(t, b, base, plan.Copy{Files: []string{"f"}, Dest: "/app"})
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{plan.Run{Args: []string{"true"}}}}}})
	if !errors.Is(err, oci.ErrNoRunner) {
		t.Errorf("got %v", err)
	}
}

func TestExplainSaysWhatWouldBeMade(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	p := plan.Plan{Stages: []plan.Stage{{Base: plainBase(t), Steps: []plan.Step{
		plan.Copy{Files: []string{"f"}, Dest: "/app"}, plan.Run{Args: []string{"true"}}, plan.Run{Args: []string{"false"}},
	}}}}
	reports, err := b.Explain(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 3 || reports[0].Cached || reports[0].Key == "" || !reports[2].Unknown {
		t.Errorf("got %+v", reports)
	}
	if again, err := b.Explain(t.Context(), p); err != nil || !cmp.Equal(reports, again) {
		t.Errorf("explaining changed something: %+v, %v", again, err)
	}
}

func TestFilesOutsideTheContextAreRefused(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: plainBase(t), Steps: []plan.Step{plan.Copy{Files: []string{"../f"}, Dest: "/app"}}}}})
	if err == nil || !strings.Contains(err.Error(), "out of the context") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownOwnersAreNamed(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: plainBase(t), Steps: []plan.Step{plan.Copy{Files: []string{"f"}, Dest: "/app", Owner: "nobody"}}}}})
	if err == nil || !strings.Contains(err.Error(), `user "nobody": not in the image's /etc/passwd`) {
		t.Errorf("got %v", err)
	}
}

func TestDirectoriesThatOnlyLeadToFilesAreSettledToo(t *testing.T) {
	b := builder(t, map[string]string{"src/deep/f": "x"})
	img := build(t, b, oci.Scratch, plan.Copy{
		Files: []string{"src/deep/f"}, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Owner: "5:6", Adopt: true,
	})
	want := [][]string{{"drwxrwxrwx app owned", "drwxrwxrwx app/src owned", "drwxrwxrwx app/src/deep owned", "-rw-rw-rw- app/src/deep/f owned x"}}
	if d := cmp.Diff(want, contents(t, img, 0)); d != "" {
		t.Error(d)
	}
}
