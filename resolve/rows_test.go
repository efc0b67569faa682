package resolve_test

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve"
)

// A row is one of the history of what ZenML does: settings with which the
// version before and the version itself differ in just that.
type row struct {
	name, before, since string
	lines               string // of settings.docker
	stack               string // in place of rowStack
	repository          string // the kind of a code repository
	more                map[string]string
}

const rowStack = `components:
  artifact_store: {flavor: local, name: store, type: artifact_store, configuration: {}}
  container_registry: {flavor: default, name: reg, type: container_registry, configuration: {uri: registry.example}}
  orchestrator: {flavor: kubernetes, name: k8s, type: orchestrator, configuration: {local: true}}
stack_name: plain
zenml_version: 0.98.0
`

// rows are those that a plan shows.
func rows() []row {
	const plain = "install_stack_requirements: false\nparent_image: base:1\n"
	const keep = plain + "allow_download_from_artifact_store: false\n"
	return []row{
		{name: "a base for each Python", before: "0.10.0", since: "0.11.0", lines: "requirements: [a]"},
		{name: "requirement files", before: "0.12.0", since: "0.13.0", lines: plain + "requirements: [b, a]"},
		{name: "no stack in the image", before: "0.13.2", since: "0.20.0", lines: plain + "requirements: [a]"},
		{name: "apt_packages", before: "0.20.4", since: "0.20.5", lines: plain + "apt_packages: [git]"},
		{name: "user", before: "0.20.5", since: "0.21.0", lines: plain + "user: app"},
		{name: "image of the own Dockerfile", before: "0.31.1", since: "0.32.0", lines: "install_stack_requirements: false\ndockerfile: own.docker\nrequirements: [a]", more: map[string]string{"own.docker": "FROM x\n"}},
		{name: "pip's timeout", before: "0.32.1", since: "0.33.0", lines: plain + "requirements: [a]"},
		{name: ".zen is never ignored, tags with keys", before: "0.33.0", since: "0.34.0", lines: plain + "requirements: [a]", more: map[string]string{".dockerignore": "*\n"}},
		{name: "skip_build", before: "0.33.0", since: "0.34.0", lines: "parent_image: base:1\nskip_build: true"},
		{name: "code repositories", before: "0.36.1", since: "0.37.0", lines: plain + "requirements: [a]", repository: "github"},
		{name: "variables before installs", before: "0.40.3", since: "0.41.0", lines: plain + "requirements: [a]\nenvironment: {A: b}"},
		{name: "chown before USER", before: "0.44.4", since: "0.45.2", lines: plain + "user: app"},
		{name: "python_package_installer", before: "0.55.5", since: "0.56.1", lines: plain + "requirements: [a]\npython_package_installer: uv"},
		{name: "uv installed once", before: "0.56.1", since: "0.56.2", lines: plain + "requirements: [a]\npython_package_installer: uv"},
		{name: "colours in logs", before: "0.56.2", since: "0.56.3", lines: plain + "requirements: [a]"},
		{name: "python_package_installer_args", before: "0.58.0", since: "0.58.1", lines: plain + "requirements: [a]\npython_package_installer_args: {pre: null}"},
		{name: "uv without --system", before: "0.58.1", since: "0.58.2", lines: plain + "requirements: [a]\npython_package_installer: uv"},
		{name: "build_config", before: "0.58.2", since: "0.60.0", lines: plain + "build_config: {build_options: {labels: {a: b}}}"},
		{name: "user's requirements last", before: "0.60.0", since: "0.61.0", lines: "parent_image: base:1\nrequirements: [a]\nrequired_integrations: [sklearn]"},
		{name: "apt of integrations", before: "0.62.0", since: "0.63.0", lines: plain + "required_integrations: [deepchecks]"},
		{name: "code left to the artifact store", before: "0.63.0", since: "0.64.0", lines: plain + "requirements: [a]"},
		{name: "prevent_build_reuse", before: "0.63.0", since: "0.64.0", lines: plain + "prevent_build_reuse: true"},
		{name: "no word of downloads", before: "0.64.0", since: "0.65.0", lines: plain + "requirements: [a]"},
		{name: "quoted values", before: "0.73.0", since: "0.74.0", lines: keep + "environment: {A: b c=d}"},
		{name: "unknown keys ignored", before: "0.81.0", since: "0.82.0", lines: keep + "requirments: [a]"},
		{name: "pyproject", before: "0.82.0", since: "0.82.1", lines: keep + "local_project_install_command: pip install ."},
		{name: "implicit requirements", before: "0.82.0", since: "0.82.1", lines: keep + "disable_automatic_requirements_detection: false", more: map[string]string{"requirements.txt": "a\n"}},
		{name: "clean tags", before: "0.83.1", since: "0.84.0", lines: keep + "requirements: [a]"},
		{name: "uv by default", before: "0.84.3", since: "0.85.0", lines: keep + "requirements: [a]"},
		{name: "no word of colours", before: "0.85.0", since: "0.90.0", lines: keep + "requirements: [a]"},
		{name: "image_tag", before: "0.90.0", since: "0.91.0", lines: keep + "image_tag: v1"},
		{name: "images of deployers", before: "0.90.0", since: "0.91.0", lines: keep + "requirements: [a]", stack: strings.Replace(rowStack, "components:\n", "components:\n  deployer: {flavor: aws, name: d, type: deployer, configuration: {}}\n", 1)},
		{name: "runtime_environment", before: "0.91.0", since: "0.91.1", lines: keep + "runtime_environment: {A: b}"},
		{name: "pull is ZenML's", before: "0.91.2", since: "0.92.0", lines: keep + "build_config: {build_options: {pull: false}}"},
		{name: "arguments declared", before: "0.94.0", since: "0.94.1", lines: keep + "build_config: {build_options: {build_args: {A: b}}}"},
		{name: "cache mounts", before: "0.94.4", since: "0.94.5", lines: keep + "requirements: [a]\npython_package_installer_cache_mount: type=cache,target=/c"},
		{name: "no entry point for SageMaker", before: "0.94.6", since: "0.95.0", lines: keep + "requirements: [a]", stack: strings.Replace(strings.Replace(rowStack, "flavor: local", "flavor: s3", 1), "components:\n", "components:\n  step_operator: {flavor: sagemaker, name: op, type: step_operator, configuration: {}}\n", 1)},
		{name: ".dockerignore stays out", before: "0.96.1", since: "0.96.2", lines: keep + "requirements: [a]", more: map[string]string{".dockerignore": "x\n"}},
		{name: "a skipped pipeline is always there", before: "0.96.1", since: "0.96.2", lines: "skip_build: true\nparent_image: base:1\n"},
	}
}

// scannedBases have ZenML in them, with two integrations.
type scannedBases struct{ noBases }

// Modules implements [resolve.Bases].
func (scannedBases) Modules(context.Context, string, string) ([]resolve.Module, error) {
	return []resolve.Module{
		{Path: "integrations/constants.py", Text: "SKLEARN = \"sklearn\"\nDEEPCHECKS = 'deepchecks'\n"},
		{Path: "integrations/sklearn/__init__.py", Text: "class SklearnIntegration(Integration):\n    \"\"\"One.\"\"\"\n\n    NAME = SKLEARN\n    REQUIREMENTS = [\"scikit-\" \"learn\"]  # two strings\n"},
		{Path: "integrations/deepchecks/__init__.py", Text: "class DeepchecksIntegration(Integration):\n    NAME = DEEPCHECKS\n    APT_PACKAGES = ['ffmpeg']\n\n" +
			"    @classmethod\n    def get_requirements(cls, target_os: Optional[str] = None) -> List[str]:\n        from x import SklearnIntegration\n" +
			"        reqs = [\n            'deepchecks',  # [\n        ]\n        if target_os == \"Darwin\":\n            reqs.append('mac')\n        else:\n            reqs.extend(SklearnIntegration.get_requirements(target_os=target_os))\n        return reqs + cls.REQUIREMENTS\n"},
	}, nil
}

// of is what a version makes of the row's settings, as text without its number.
func (r row) of(t *testing.T, version string) []string {
	t.Helper()
	root, home := t.TempDir(), t.TempDir()
	text := "settings:\n  docker:\n"
	for line := range strings.Lines(r.lines) {
		key, _, _ := strings.Cut(line, ":")
		if strings.HasPrefix(key, "allow_") && !atLeast(t, version, "0.64.0") {
			continue
		}
		text += "    " + strings.TrimSuffix(line, "\n") + "\n"
	}
	steps := []string{"load", "train"}
	if r.since == "0.95.0" {
		text += "steps:\n  train: {step_operator: op}\n"
	}
	if strings.HasPrefix(r.name, "a skipped") {
		text += "steps:\n  load: {settings: {docker: {skip_build: false}}}\n  train: {settings: {docker: {skip_build: false}}}\n"
	}
	stack := r.stack
	if stack == "" {
		stack = rowStack
	}
	write(t, root, map[string]string{".zen/config.yaml": "", "run.py": ""})
	write(t, root, r.more)
	write(t, home, map[string]string{"stack.yaml": stack, "run.yaml": text})
	pipeline := "training"
	if r.name == "clean tags" {
		pipeline = "My Pipeline"
	}
	res, err := resolve.Resolve(t.Context(), resolve.Options{
		Dir: root, Env: map[string]string{}, Config: filepath.Join(home, "run.yaml"), Stack: filepath.Join(home, "stack.yaml"), Pipeline: pipeline,
		Steps: steps, ZenML: version, Python: "3.11", Compat: true, CodeRepository: r.repository,
	}, scannedBases{}, nil)
	if err != nil {
		return []string{"refused: " + strings.ReplaceAll(err.Error(), home, "")}
	}
	lines := strings.Split(describe(res), "\n")
	for _, k := range res.Keys {
		lines = append(lines, "key "+k.Name)
	}
	for _, i := range res.Images {
		for _, b := range i.Builds {
			lines = append(lines, fmt.Sprintf("build %s %v", b.Name, b.CLI), fmt.Sprint("options ", b.Options))
			lines = append(lines, strings.Split(b.Files["Dockerfile"], "\n")...)
		}
		lines = append(lines, fmt.Sprintf("code in it: %v, fetched: %v", i.ContainsCode, i.DownloadsCode))
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(strings.ReplaceAll(lines[i], home, ""), version, "VERSION")
	}
	return slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "what integrations need in") })
}

// TestEveryRowOfTheHistoryIsSeenAlone shows each difference between a version
// and the one before it, and that there is one.
func TestEveryRowOfTheHistoryIsSeenAlone(t *testing.T) {
	var b strings.Builder
	for _, r := range rows() {
		d := changes(r.of(t, r.before), r.of(t, r.since))
		if d == "" {
			t.Errorf("%s: %s and %s make the same", r.name, r.before, r.since)
		}
		fmt.Fprintf(&b, "== %s: %s to %s\n%s", r.name, r.before, r.since, d)
	}
	golden := "testdata/rows.golden"
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

func TestIntegrationsAreReadFromAWheel(t *testing.T) {
	modules, err := scannedBases{}.Modules(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	wheel := filepath.Join(dir, "zenml-0.70.0-py3-none-any.whl")
	f, err := os.Create(wheel)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, m := range append(modules, resolve.Module{Path: "VERSION", Text: "0.70.0\n"}) {
		w, err := z.Create("zenml/" + m.Path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.Text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	o := resolve.Options{Dir: t.TempDir(), Env: map[string]string{}, ZenML: "0.70.0", Python: "3.11", Wheel: wheel, Integrations: []string{"deepchecks"}}
	r, err := resolve.Resolve(t.Context(), o, noBases{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Images[0].Requirements, "deepchecks\nscikit-learn"; got != want || len(r.Warnings) != 0 {
		t.Errorf("requirements %q, want %q; warnings %q", got, want, r.Warnings)
	}
	o.ZenML = "0.71.0"
	if r, err = resolve.Resolve(t.Context(), o, noBases{}, nil); err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "is that of ZenML 0.70.0") {
		t.Errorf("warnings %q, %v", r.Warnings, err)
	}
}
