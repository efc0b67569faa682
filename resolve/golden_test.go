package resolve_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

var update = flag.Bool("update", false, "rewrite the golden plans")

// describe is a plan for a golden file: its steps, and contents that it writes.
func describe(r resolve.Result) string {
	var b strings.Builder
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning %s\n", w)
	}
	for _, i := range r.Images {
		describeImage(&b, i)
	}
	return b.String()
}

func describeImage(b *strings.Builder, i resolve.Image) {
	for _, n := range i.Names {
		fmt.Fprintf(b, "image %s\n", n)
	}
	fmt.Fprintf(b, "FROM %s\n", i.Base())
	for _, s := range i.Plan.Stages[0].Steps {
		fmt.Fprintln(b, s)
		switch s := s.(type) {
		case plan.Write:
			for _, f := range s.Files {
				fmt.Fprintf(b, "  %v %s\n", f.Mode, f.Path)
				for line := range strings.Lines(f.Data) {
					fmt.Fprintf(b, "    | %s", line)
				}
			}
		case plan.Install:
			for line := range strings.Lines(s.Requirements) {
				fmt.Fprintf(b, "  | %s\n", strings.TrimSuffix(line, "\n"))
			}
		case plan.Copy:
			for _, f := range s.Files {
				fmt.Fprintf(b, "  %s\n", f)
			}
		}
	}
}

const (
	oldStack = `components:
  artifact_store: {flavor: s3, name: store, path: s3://bucket}
  container_registry: {flavor: default, name: local_registry, uri: "localhost:5000"}
  metadata_store: {flavor: mysql, name: meta, host: db, password: hunter2, port: 3306}
  orchestrator: {flavor: kubeflow, name: kubeflow, kubernetes_context: k3d, synchronous: false}
stack_name: local_kubeflow_stack
zenml_version: 0.12.0
`
	newStack = `components:
  artifact_store:
  - configuration: {path: "s3://bucket", secret: hunter2}
    flavor: s3
    name: store
    type: artifact_store
  container_registry:
  - configuration: {uri: "https://me:hunter2@registry.example/team/"}
    flavor: default
    name: registry
    type: container_registry
  orchestrator:
  - configuration: {kubernetes_context: eks, token: hunter2}
    flavor: kubernetes
    name: k8s
    type: orchestrator
stack_name: prod
zenml_version: 0.98.0
`
	globalConfig = `active_project_id: 11111111-1111-1111-1111-111111111111
active_stack_id: 22222222-2222-2222-2222-222222222222
analytics_opt_in: false
store:
  type: rest
  url: https://zenml.example
  api_key: hunter2
  api_token: hunter2
user_id: 33333333-3333-3333-3333-333333333333
version: 0.98.0
`
	goldenRun = `settings:
  docker:
    requirements: [scikit-learn, "torch==1.12.0"]
    required_integrations: [sklearn]
    apt_packages: [git]
    environment: {FLAG: true, pip_extra_index_url: "https://me:hunter2@index.example/simple"}
    user: app
    local_project_install_command: pip install --no-deps .
    runtime_environment: {LEVEL: 3}
`
)

func TestGoldenPlans(t *testing.T) {
	for _, version := range []string{"0.12.0", "0.13.2", "0.60.0", "0.98.0"} {
		t.Run(version, func(t *testing.T) {
			root, home := t.TempDir(), t.TempDir()
			write(t, root, map[string]string{
				".zen/config.yaml": "{}\n", "run.py": "", "src/a.py": "", "src/deep/b.py": "", "notes.md": "",
				".dockerignore": "*\n!run.py\n!**/*.py\n",
			})
			write(t, home, map[string]string{"stack.yaml": newStack, "run.yaml": goldenRun, ".config/zenml/config.yaml": globalConfig})
			if version == "0.60.0" { // which knows no such keys yet
				old := strings.NewReplacer("    local_project_install_command: pip install --no-deps .\n", "", "    runtime_environment: {LEVEL: 3}\n", "")
				write(t, home, map[string]string{"run.yaml": old.Replace(goldenRun)})
			}
			if version < "0.20" {
				write(t, home, map[string]string{"stack.yaml": oldStack})
			}
			r, err := resolve.Resolve(t.Context(), resolve.Options{
				Dir: root, Env: map[string]string{"HOME": home}, Config: filepath.Join(home, "run.yaml"), Stack: filepath.Join(home, "stack.yaml"),
				Pipeline: "training", ZenML: version, Python: "3.9.7",
			}, noBases{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(r)
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is in the plan:\n%s", got)
			}
			if r.Images[0].StepEnv["PIP_EXTRA_INDEX_URL"] == "" {
				t.Error("the index is not given to the steps")
			}
			golden := filepath.Join("testdata", "plan-"+version+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}
