package resolve_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/zenml"
)

// plainStack is one whose artifact store needs packages.
const plainStack = `components:
  artifact_store: {flavor: s3, name: store, type: artifact_store, configuration: {path: "s3://bucket"}}
  container_registry: {flavor: default, name: reg, type: container_registry, configuration: {uri: registry.example}}
  orchestrator: {flavor: kubernetes, name: k8s, type: orchestrator, configuration: {}}
stack_name: plain
zenml_version: 0.98.0
`

// A setting is a line of settings with the version from which on it exists.
type setting struct{ since, line string }

// generated are the settings that testdata/zenml/generate.py calls ZenML's own
// generators with, by its names.
func generated() map[string][]setting {
	const project = "local_project_install_command: "
	return map[string][]setting{
		"plain":       nil,
		"environment": {{"", "environment: {foo: a b, Flag: true, d: $HOME}"}, {"0.91.1", "runtime_environment: {x: 1}"}},
		"packages":    {{"", "apt_packages: [git, libgomp1]"}, {"", "user: zenml"}},
		"arguments":   {{"0.58.1", "python_package_installer_args: {pre: null, no-cache-dir: false, retries: 3}"}},
		"project":     {{"0.82.1", project + "pip install --no-deps ."}},
		"mounted":     {{"0.94.5", "python_package_installer_cache_mount: 'type=cache,target=/c'"}, {"0.82.1", project + "pip install ."}},
		"options":     {{"0.60.0", "build_config: {build_options: {build_args: {Token: x, OTHER: 1}}}"}},
		"downloads":   {},
	}
}

func atLeast(t *testing.T, version, since string) bool {
	t.Helper()
	f, err := zenml.FactsOf(version)
	if err != nil {
		t.Fatal(err)
	}
	return since == "" || f.AtLeast(since)
}

// resolveFor resolves settings as a version of ZenML would have.
func resolveFor(t *testing.T, version, stack string, lines []setting) resolve.Result {
	t.Helper()
	root, home := t.TempDir(), t.TempDir()
	text := "settings:\n  docker:\n"
	for _, l := range lines {
		if atLeast(t, version, l.since) {
			text += "    " + l.line + "\n"
		}
	}
	write(t, root, map[string]string{".zen/config.yaml": "", "run.yaml": text})
	write(t, home, map[string]string{"stack.yaml": stack})
	r, err := resolve.Resolve(t.Context(), resolve.Options{
		Dir: root, Env: map[string]string{}, Config: filepath.Join(root, "run.yaml"), Stack: filepath.Join(home, "stack.yaml"), Pipeline: "training", ZenML: version, Python: "3.11", Compat: true,
	}, noBases{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDockerfilesAreThoseOfEachVersionsOwnGenerator(t *testing.T) {
	var want map[string]map[string]string
	readJSON(t, "../testdata/zenml/dockerfiles.json", &want)
	if len(want) < 30 {
		t.Fatalf("%d versions", len(want))
	}
	for _, version := range slices.Sorted(maps.Keys(want)) {
		t.Run(version, func(t *testing.T) {
			for name, lines := range generated() {
				downloads := name == "downloads"
				if downloads && version != "0.64.0" { // the only one that both uploads code and says so
					continue
				}
				for _, installer := range []string{"pip", "uv"} {
					if installer == "uv" && !atLeast(t, version, "0.56.0") {
						continue
					}
					all := append([]setting{
						{"", "parent_image: base:1"}, {"", "install_stack_requirements: false"}, {"", "requirements: [a]"},
						{"0.56.0", "python_package_installer: " + installer}, {"0.64.0", fmt.Sprintf("allow_download_from_artifact_store: %v", downloads)},
					}, lines...)
					r := resolveFor(t, version, plainStack, all)
					if d := cmp.Diff(want[version][name+"-"+installer], r.Images[0].Dockerfile()); d != "" {
						t.Errorf("%s with %s (-want +got):\n%s", name, installer, d)
					}
				}
			}
		})
	}
}

// TestEachVersionChangesJustWhatItChanged shows, version by version, how the
// plan and the Dockerfile of the same settings differ from those of the version
// before.
func TestEachVersionChangesJustWhatItChanged(t *testing.T) {
	var versions map[string]any
	readJSON(t, "../testdata/zenml/dockerfiles.json", &versions)
	names := append(slices.Sorted(maps.Keys(versions)), "0.10.0", "0.11.0", "0.12.0", "0.13.0", "0.20.5", "0.33.0", "0.34.0", "0.37.0", "0.93.0", "0.95.0", "0.96.2")
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case atLeast(t, a, b):
			return 1
		}
		return -1
	})
	lines := []setting{
		{"", "requirements: [a]"}, {"", "required_integrations: [sklearn]"}, {"", "environment: {foo: a}"}, {"0.20.5", "apt_packages: [git]"},
		{"0.21.0", "user: app"}, {"0.60.0", "build_config: {build_options: {build_args: {T: x}}}"},
	}
	var b strings.Builder
	var before []string
	for _, v := range names {
		r := resolveFor(t, v, plainStack, lines)
		text := strings.ReplaceAll(describe(r)+r.Images[0].Dockerfile()+"\n", v, "VERSION")
		after := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool {
			return strings.HasPrefix(l, "warning") || strings.HasPrefix(strings.TrimSpace(l), "| ")
		})
		fmt.Fprintf(&b, "== %s\n%s", v, changes(before, after))
		before = after
	}
	golden := "testdata/versions.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

// changes lists the lines that went and the lines that came, by the longest
// common sequence.
func changes(before, after []string) string {
	longest := make([][]int, len(before)+1)
	for i := range longest {
		longest[i] = make([]int, len(after)+1)
	}
	for i := len(before) - 1; i >= 0; i-- {
		for j := len(after) - 1; j >= 0; j-- {
			if longest[i][j] = max(longest[i+1][j], longest[i][j+1]); before[i] == after[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			}
		}
	}
	var b strings.Builder
	for i, j := 0, 0; i < len(before) || j < len(after); {
		switch {
		case i < len(before) && j < len(after) && before[i] == after[j]:
			i, j = i+1, j+1
		case j == len(after) || i < len(before) && longest[i+1][j] >= longest[i][j+1]:
			fmt.Fprintf(&b, "- %s\n", before[i])
			i++
		default:
			fmt.Fprintf(&b, "+ %s\n", after[j])
			j++
		}
	}
	return b.String()
}
