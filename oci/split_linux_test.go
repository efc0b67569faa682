package oci_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// fakeInstall leaves distributions, "NAME-VERSION", as installers do, and
// replaces the one called old, which the base has.
func fakeInstall(args ...string) error {
	site := "/usr/lib/python3/site-packages"
	if err := os.RemoveAll(filepath.Join(site, "old")); err != nil {
		return err
	}
	for _, d := range args {
		name, _, _ := strings.Cut(d, "-")
		module, info := filepath.Join(site, name, "__init__.py"), filepath.Join(site, d+".dist-info", "RECORD")
		for file, data := range map[string]string{module: d, info: name + "/__init__.py,,\n", filepath.Join(site, name, "data"): strings.Repeat(name, 100)} {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
				return err
			}
		}
		if err := os.Link(module, filepath.Join(site, name, "second.py")); err != nil {
			return err
		}
	}
	return os.Symlink(args[0], "/usr/lib/python3/first")
}

func installing(dists ...string) plan.Install {
	return plan.Install{
		Installer: "pip", Command: append([]string{"prog", "install"}, dists...), Requirements: strings.Join(dists, "\n"), File: "/app/requirements.txt",
	}
}

// oldBase has what the installer replaces.
func oldBase(t *testing.T) string {
	t.Helper()
	dir := func(p string) layers.File { return layers.File{Path: p, Mode: fs.ModeDir | 0o755} }
	return runBase(t, append(usual(), dir("app"), dir("usr"), dir("usr/lib"), dir("usr/lib/python3"), dir("usr/lib/python3/site-packages"),
		dir("usr/lib/python3/site-packages/old"), file("usr/lib/python3/site-packages/old/gone.py", "old", 0o644))...)
}

// installed are what a later step looks at.
func installed() plan.Run {
	site := "/usr/lib/python3/site-packages"
	return run("inspect", site, site+"/old", site+"/old/gone.py", site+"/new/second.py", site+"/old-2.dist-info/RECORD", "/usr/lib/python3/first", "/app/requirements.txt")
}

func TestAnInstallIsSeveralLayersAndOneTree(t *testing.T) {
	base := oldBase(t)
	seen := map[string]string{}
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			install := installing("old-2", "new-1", "six-1")
			img := build(t, b, base, install, installed())
			made := img.Steps[0].Made()
			if len(made) < 3 || img.Steps[0].DiffID != "" || img.Steps[0].Size == 0 {
				t.Fatalf("the step has the layers %v", made)
			}
			cfg, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			names := ""
			for i, l := range made {
				h := cfg.History[len(cfg.History)-1-len(made)+i]
				names += l.Name + "\n"
				if want := fmt.Sprintf("kanso %s %d/%d", img.Steps[0].Key, i+1, len(made)); h.Comment != want || h.CreatedBy != install.String()+" ("+l.Name+")" {
					t.Errorf("the history has %q and %q, want %q", h.CreatedBy, h.Comment, want)
				}
			}
			for _, want := range []string{": old", "new", "six", "other files\n"} {
				if !strings.Contains(names, want) {
					t.Errorf("no layer is said to have %q:\n%s", want, names)
				}
			}
			seen[out.String()] += " " + name
			first := out.String()
			out.Reset()
			// Without the tree that the step left each layer has its own.
			dir := filepath.Dir(b.Store.Scratch())
			if err := layers.RemoveAll(filepath.Join(dir, "trees")); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "trees"), 0o700); err != nil {
				t.Fatal(err)
			}
			other := installed()
			other.Vars = []plan.Var{{Name: "OTHER", Value: "1"}}
			again := build(t, b, base, install, other)
			if d := cmp.Diff(first, out.String()); d != "" || again.Ran != 1 {
				t.Errorf("%d steps ran, and the second saw (-one tree +trees of layers):\n%s", again.Ran, d)
			}
		})
	}
	if len(seen) != 1 {
		t.Errorf("ways differ: %q", seen)
	}
}

func TestOneMoreDistributionIsOneMoreLayer(t *testing.T) {
	base := oldBase(t)
	b, _ := running(t, way{}, nil)
	digests := func(dists ...string) []string {
		var list []string
		for _, l := range build(t, b, base, installing(dists...)).Steps[0].Made() {
			list = append(list, l.Digest)
		}
		return list
	}
	before := digests("old-2", "new-1", "six-1")
	after := digests("old-2", "new-1", "six-1", "torch-1")
	unknown := slices.DeleteFunc(slices.Clone(after), func(d string) bool { return slices.Contains(before, d) })
	if len(unknown) != 2 { // that of torch, and the requirements
		t.Errorf("layers %q of %q are new, want two", unknown, after)
	}
	if got := digests("old-2", "new-1", "six-1"); !slices.Equal(got, before) {
		t.Errorf("from the cache the layers are %q, want %q", got, before)
	}
	b.NoCache = true
	if got := digests("old-2", "new-1", "six-1"); !slices.Equal(got, before) {
		t.Errorf("made again the layers are %q, want %q", got, before)
	}
}

func TestLayersOfAnInstallHaveABudget(t *testing.T) {
	base := oldBase(t)
	b, _ := running(t, way{}, nil)
	var dists []string
	for i := range 60 {
		dists = append(dists, fmt.Sprintf("d%02d-1", i))
	}
	var steps []plan.Step
	for i := range 6 {
		install := installing(dists[i*10 : i*10+10]...)
		install.Command[1] = "install-more"
		steps = append(steps, install)
	}
	img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}})
	if err != nil {
		t.Fatal(err)
	}
	split := 0
	for _, s := range img.Steps {
		if n := len(s.Made()); n > 1 {
			split += n
		}
	}
	if last := img.Steps[len(img.Steps)-1]; split > 40 || split < 20 || last.DiffID == "" {
		t.Errorf("the installs made %d layers that are parts, want at most 40, and the last install %v", split, last.Made())
	}
}

func TestAFreshMachineTakesAllLayersOfAnInstall(t *testing.T) {
	s := serve(t, nil)
	base := oldBase(t)
	first, out := running(t, way{}, nil)
	first.Client = client(t)
	img := build(t, first, base, installing("old-2", "new-1"), installed())
	push(t, first.Client, img, s.host+"/team/image:1")
	want := out.String()

	again, out := running(t, way{}, nil)
	again.Client = client(t)
	again.Remembered = &oci.Memory{Client: again.Client, Refs: []string{s.host + "/team/image:1"}}
	if same := build(t, again, base, installing("old-2", "new-1"), installed()); digest(t, same) != digest(t, img) || same.Ran != 0 {
		t.Errorf("image %s after %d steps, want %s", digest(t, same), same.Ran, digest(t, img))
	}
	other := installed()
	other.Vars = []plan.Var{{Name: "OTHER", Value: "1"}}
	got := build(t, again, base, installing("old-2", "new-1"), other)
	if d := cmp.Diff(want, out.String()); d != "" || got.Ran != 1 || got.Steps[0].From == "" {
		t.Errorf("%d steps ran, and the second saw (-at first +on the fresh machine):\n%s", got.Ran, d)
	}
}
