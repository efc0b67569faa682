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
