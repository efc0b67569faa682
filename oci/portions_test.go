package oci_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// mixed are files of every size, in two directories.
func mixed() map[string]string {
	files := map[string]string{"data/big.bin": strings.Repeat("b", 5<<20), "data/empty.csv": ""}
	for i := range 20 {
		files[fmt.Sprintf("data/table_%02d.csv", i)] = strings.Repeat(fmt.Sprint(i%10), 100<<10)
	}
	for i := range 600 {
		files[fmt.Sprintf("src/module_%03d.py", i)] = strings.Repeat("x", 4000)
	}
	return files
}

func TestAChangeSendsLittleMoreThanWhatChanged(t *testing.T) {
	files := mixed()
	var names []string
	for name := range files {
		names = append(names, name)
	}
	copies := map[string]plan.Copy{
		"settings":   {Files: names, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Adopt: true},
		"Dockerfile": {Files: names, Patterns: []string{"."}, Dest: "/app", Modes: plan.ModesDisk},
	}
	for name, step := range copies {
		t.Run(name, func(t *testing.T) {
			ids, trees := map[bool]map[string]bool{}, map[bool][]string{}
			for _, changed := range []bool{false, true} {
				files["src/module_007.py"] = fmt.Sprint("changed ", changed)
				b := builder(t, files) // another store: nothing is known
				img := build(t, b, oci.Scratch, step)
				ids[changed] = map[string]bool{}
				ls, err := img.Layers()
				if err != nil {
					t.Fatal(err)
				}
				if len(ls) < 5 || len(ls) > 60 {
					t.Errorf("%d layers", len(ls))
				}
				for _, l := range ls {
					id, err := l.DiffID()
					if err != nil {
						t.Fatal(err)
					}
					ids[changed][id.String()] = true
				}
				seen := map[string]bool{}
				for _, layer := range contents(t, img, 0) {
					for _, line := range layer {
						if strings.HasPrefix(line, "-") && seen[line] {
							t.Errorf("twice: %s", line)
						}
						seen[line] = true
					}
				}
				for line := range seen {
					if !strings.Contains(line, "module_007") {
						trees[changed] = append(trees[changed], line)
					}
				}
			}
			other := 0
			for id := range ids[true] {
				if !ids[false][id] {
					other++
				}
			}
			if other != 1 {
				t.Errorf("%d layers are others", other)
			}
			if d := cmp.Diff(len(trees[false]), len(trees[true])); d != "" || len(trees[true]) < 622 {
				t.Errorf("%d files: %s", len(trees[true]), d)
			}
		})
	}
}

func TestFewFilesStayInOneLayer(t *testing.T) {
	b := builder(t, map[string]string{"a.py": "a", "deep/b.py": "b"})
	img := build(t, b, oci.Scratch, plan.Copy{Files: []string{"a.py", "deep/b.py"}, Dest: "/app", Modes: plan.ModesGit})
	if ls := contents(t, img, 0); len(ls) != 1 {
		t.Errorf("layers: %q", ls)
	}
}

func TestAnImageStaysBelowTheLimitOfLayers(t *testing.T) {
	files := map[string]string{}
	var steps []plan.Step
	for i := range 12 {
		var names []string
		for j := range 30 {
			name := fmt.Sprintf("%d/table_%02d.csv", i, j)
			files[name] = strings.Repeat("x", 128<<10)
			names = append(names, name)
		}
		steps = append(steps, plan.Copy{Files: names, Dest: "/app", Modes: plan.ModesGit})
	}
	img := build(t, builder(t, files), oci.Scratch, steps...)
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(ls) < 24 || len(ls) >= 120 {
		t.Errorf("%d layers", len(ls))
	}
}

// TestSourcesLeaveLayersForWhatIsInstalledAfterThem copies enough to fill an image
// and installs a project then.
func TestSourcesLeaveLayersForWhatIsInstalledAfterThem(t *testing.T) {
	files := map[string]string{}
	var steps []plan.Step
	for i := range 7 {
		var names []string
		for j := range 20 {
			name := fmt.Sprintf("%d/table_%02d.csv", i, j)
			files[name] = strings.Repeat("x", 450<<10)
			names = append(names, name)
		}
		steps = append(steps, plan.Copy{Files: names, Dest: "/app", Modes: plan.ModesGit})
	}
	w := &writes{files: []layers.File{file("site/x.py", "x", 0o644)}}
	b := builder(t, files)
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return w, nil }
	build(t, b, baseOn(t, "nothing", file("x", "x", 0o644)), append(steps, plan.Install{Installer: "pip", Command: []string{"pip", "install", "."}})...)
	args, ok := w.ran[0].After.Args.(oci.CaptureArgs)
	if !ok || args.Parts != 40 {
		t.Errorf("the installer's files may have %d layers", args.Parts)
	}
}
