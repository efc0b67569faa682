package resolve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
	"github.com/kanso-build/kanso/resolve/zenml"
)

// oracle is one run of ZenML itself: a project, and what ZenML made of it.
type oracle struct {
	ZenML  string            `json:"zenml_version"`
	Python string            `json:"python_version"`
	Name   string            `json:"pipeline"`
	Cwd    string            `json:"cwd"`
	Env    map[string]string `json:"env"`
	Tools  map[string]string `json:"tools"`
	Files  []struct{ Path, Type, Mode, Content, Target string }
	Main   string   `json:"main"`
	Steps  []string `json:"steps"`
	// Upstream are the steps that a step waits for, by what ZenML calls it.
	Upstream map[string][]string `json:"upstream"`
	Dynamic  bool                `json:"dynamic"`
	Local    []string            `json:"local_images"`
	Digests  map[string]string   `json:"registry_digests"`
	Error    *struct {
		Type, Message string
		Causes        []struct{ Type, Message string }
	}
}

// shellHost runs commands with the case's tools first on the PATH.
type shellHost struct{ path string }

func (h shellHost) Command(ctx context.Context, dir string, argv []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + h.path + ":/usr/bin:/bin"}
	return cmd.Output()
}

// noBases knows no base but what a container engine says of some.
type noBases struct {
	digests map[string]string
	local   []string
}

func (noBases) Config(context.Context, string, string) (resolve.BaseConfig, error) {
	return resolve.BaseConfig{Env: []plan.Var{{Name: "VIRTUAL_ENV", Value: "/opt/venv"}}}, nil
}

func (noBases) Expect(context.Context, string, string) {}

func (b noBases) Digest(_ context.Context, ref string) string { return b.digests[ref] }

func (b noBases) IsLocal(ref string) bool { return slices.Contains(b.local, ref) }

// Modules implements [resolve.Bases]: nothing is known of any base.
func (noBases) Modules(context.Context, string, string) ([]zenml.Module, error) { return nil, nil }

func readJSON(t *testing.T, file string, to any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func chmod(t *testing.T, file, mode, usual string) {
	t.Helper()
	if mode == "" {
		mode = usual
	}
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(file, uint32(bits)); err != nil {
		t.Fatal(err)
	}
}

// materialise makes the project of a case.
func materialise(t *testing.T, c oracle) (root, tools string) {
	t.Helper()
	root, tools = filepath.Join(t.TempDir(), "p"), t.TempDir()
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Files {
		p := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch f.Type {
		case "dir":
			err = os.MkdirAll(p, 0o755)
		case "symlink":
			err = os.Symlink(f.Target, p)
		case "file":
			err = os.WriteFile(p, []byte(f.Content), 0o644)
		case "hardlink":
			err = os.Link(filepath.Join(root, f.Target), p)
		case "fifo":
			err = exec.CommandContext(t.Context(), "mkfifo", p).Run()
		default:
			t.Fatalf("the case has a %s", f.Type)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == "file" || f.Type == "fifo" {
			chmod(t, p, f.Mode, "0644")
		}
	}
	for _, f := range c.Files {
		for dir := filepath.Dir(f.Path); dir != "."; dir = filepath.Dir(dir) {
			chmod(t, filepath.Join(root, dir), "0755", "") // whatever the umask is
		}
	}
	for _, f := range slices.Backward(c.Files) {
		if f.Type == "dir" {
			chmod(t, filepath.Join(root, f.Path), f.Mode, "0755")
		}
	}
	for name, script := range c.Tools {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root, tools
}

// outcome is what kanso made of a case.
type outcome struct {
	resolve.Result
	err  error
	root string
}

// calls are the steps as --step takes them.
func (c oracle) calls() []string {
	count := map[string]int{}
	var calls []string
	for _, name := range c.Steps {
		count[name]++
		call := name
		if n := count[name]; n > 1 {
			name = fmt.Sprintf("%s_%d", name, n)
		}
		if up := c.Upstream[name]; len(up) > 0 {
			call += ":" + strings.Join(up, ",")
		}
		calls = append(calls, call)
	}
	return calls
}

// run resolves a case as ZenML itself would have.
func (c oracle) run(t *testing.T, dir string) outcome {
	t.Helper()
	root, tools := materialise(t, c)
	env := map[string]string{"HOME": t.TempDir()}
	for k, v := range c.Env {
		env[k] = strings.ReplaceAll(v, "{ROOT}", root)
	}
	r, err := resolve.Resolve(t.Context(), resolve.Options{
		Dir: filepath.Join(root, c.Cwd), Env: env, Config: filepath.Join(dir, "run.yaml"), Stack: filepath.Join(dir, "stack.yaml"),
		Pipeline: c.Name, Steps: c.calls(), Dynamic: c.Dynamic, Main: c.Main, ZenML: c.ZenML, Python: c.Python, Compat: true,
		ParentDigests: true, AllowSecrets: []string{".git/config"},
	}, noBases{c.Digests, c.Local}, shellHost{tools})
	return outcome{r, err, root}
}

// cases are the directories of the cases.
func cases(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("../testdata/zenml/cases/*/case.json")
	if err != nil || len(dirs) < 58 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	for i := range dirs {
		dirs[i] = filepath.Dir(dirs[i])
	}
	return dirs
}

func TestEveryCaseIsWhatZenMLItselfMadeOfIt(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c oracle
			readJSON(t, filepath.Join(dir, "case.json"), &c)
			got := c.run(t, dir)
			compareMessages(t, dir, c, got)
			if c.Error != nil {
				return
			}
			compareBuilds(t, dir, got)
			compareRecord(t, dir, got, true)
		})
	}
}

// asJSON is a value in types of package json's own.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
