package main_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kanso-build/kanso/"

// arrows is the design: which package may import which. Changing it is a
// change of design, argued in the commit, and not a way to make a test pass.
func arrows() map[string][]string {
	return map[string][]string{
		"cmd/kanso":          {"layers", "layers/cache", "layers/sandbox", "layers/secrets", "oci", "resolve", "resolve/plan"},
		"layers":             {},
		"layers/cache":       {},
		"layers/debian":      {},
		"layers/python":      {},
		"layers/sandbox":     {},
		"layers/secrets":     {},
		"oci":                {"layers", "layers/debian", "layers/python", "layers/sandbox", "layers/secrets", "oci/attest", "resolve/plan"},
		"oci/attest":         {},
		"resolve":            {"layers/secrets", "resolve/dockerfile", "resolve/plan", "resolve/zenml"},
		"resolve/dockerfile": {"resolve/plan"},
		"resolve/plan":       {},
		"resolve/zenml":      {},
	}
}

func TestArrows(t *testing.T) {
	for line := range strings.Lines(goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...")) {
		words := strings.Fields(strings.ReplaceAll(line, module, "./"))
		from := strings.TrimPrefix(words[0], "./")
		allowed, ok := arrows()[from]
		if !ok {
			t.Errorf("package %s is not in the design", from)
		}
		for _, to := range words[1:] {
			to, ours := strings.CutPrefix(to, "./")
			if ours && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s", from, to)
			}
		}
	}
}

// TestNoDaemonClient keeps Docker's client out of the program: it builds
// without a daemon or not at all.
func TestNoDaemonClient(t *testing.T) {
	for dep := range strings.Lines(goList(t, "-deps", module+"cmd/kanso")) {
		for _, banned := range []string{"github.com/docker/docker/client", "github.com/moby/moby/client", "github.com/google/go-containerregistry/pkg/v1/daemon"} {
			if strings.HasPrefix(strings.TrimSpace(dep), banned) {
				t.Errorf("cmd/kanso links %s", banned)
			}
		}
	}
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
