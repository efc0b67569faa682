package resolve_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/resolve"
)

// manySteps writes a project whose pipeline has 100 steps with 20 settings,
// and returns its options.
func manySteps(tb testing.TB) resolve.Options {
	tb.Helper()
	var run strings.Builder
	run.WriteString("settings:\n  docker: {requirements: [numpy], required_integrations: [sklearn, mlflow], user: app}\nsteps:\n")
	o := resolve.Options{Pipeline: "training", ZenML: "0.98.0", Python: "3.11", Env: map[string]string{}}
	for i := range 100 {
		name := fmt.Sprintf("step_%d", i)
		o.Steps = append(o.Steps, name)
		if kind := i % 20; kind > 0 {
			fmt.Fprintf(&run, "  %s:\n    settings:\n      docker: {requirements: [numpy, pandas==%d], environment: {KIND: %d}}\n", name, kind, kind)
		}
	}
	root, home := tb.TempDir(), tb.TempDir()
	o.Dir, o.Config, o.Stack = root, filepath.Join(home, "run.yaml"), filepath.Join(home, "stack.yaml")
	for file, text := range map[string]string{o.Config: run.String(), o.Stack: newStack, filepath.Join(root, "run.py"): "print(1)\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return o
}

func TestStepsWithEqualSettingsShareAnImage(t *testing.T) {
	for _, compat := range []bool{false, true} {
		o := manySteps(t)
		o.Compat = compat
		r, err := resolve.Resolve(t.Context(), o, noBases{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// The steps without settings of their own share the pipeline's key.
		if len(r.Images) != 20 || len(r.Keys) != 96 || r.Keys[0].Name != "orchestrator" {
			t.Errorf("%d images for %d keys, the first is %s", len(r.Images), len(r.Keys), r.Keys[0].Name)
		}
	}
}

func BenchmarkResolveOfAHundredSteps(b *testing.B) {
	o := manySteps(b)
	for b.Loop() {
		if _, err := resolve.Resolve(b.Context(), o, noBases{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWalk looks at 100,000 files in 1,000 directories, beside as many in one
// that stays out as a whole.
func BenchmarkWalk(b *testing.B) {
	root := b.TempDir()
	tree := func(dirs int, below string) {
		for i := range dirs {
			dir := filepath.Join(root, below, fmt.Sprintf("d%02d", i%32), fmt.Sprintf("e%03d", i))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			for j := range 100 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%02d.py", j)), nil, 0o644); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	tree(1000, "src")
	tree(1000, ".venv")
	if err := os.WriteFile(filepath.Join(root, ".dockerignore"), []byte(".venv\n**/*.pyc\n!src/keep.pyc\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		set, err := resolve.Files(b.Context(), resolve.FileOptions{Root: root})
		if err != nil || len(set.Paths) < 100_000 {
			b.Fatal(len(set.Paths), err)
		}
	}
}
