package resolve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
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
	Error  *struct{ Type, Message string }
}

// shellHost runs commands with the case's tools first on the PATH.
type shellHost struct{ path string }

func (h shellHost) Command(ctx context.Context, dir string, argv []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + h.path + ":/usr/bin:/bin"}
	return cmd.Output()
}

// noBases knows no base.
type noBases struct{}

func (noBases) Config(context.Context, string, string) (resolve.BaseConfig, error) {
	return resolve.BaseConfig{Env: map[string]string{"VIRTUAL_ENV": "/opt/venv"}}, nil
}

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
		default:
			t.Skipf("the case has a %s", f.Type)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range c.Tools {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root, tools
}

// dockerfile is a plan as ZenML would write it.
func dockerfile(p plan.Plan) string {
	var lines []string
	stage := p.Stages[0]
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("FROM %s", stage.Base)
	owner := ""
	for i, s := range stage.Steps {
		switch s := s.(type) {
		case plan.Set:
			if s.WorkingDir != "" {
				add("WORKDIR %s", s.WorkingDir)
			}
			if owner != "" && s.User != "" {
				add("RUN chown -R %s .", owner)
				add("USER %s", s.User)
			}
			for _, v := range s.Env {
				if i > 0 && strings.HasPrefix(v.Name, "ZENML_") {
					add("ENV %s=%s", v.Name, v.Value)
				} else {
					add("ENV %s='%s'", v.Name, v.Value)
				}
			}
		case plan.Install:
			if s.File != "" {
				add("COPY %s .", filepath.Base(s.File))
			}
			add("RUN %s", commandLine(s.Command))
		case plan.Run:
			add("RUN %s", commandLine(s.Args))
		case plan.Copy:
			owner = s.Owner
			add("COPY . .")
			add("RUN chmod -R a+rw .")
		}
	}
	return strings.Join(lines, "\n")
}

func commandLine(argv []string) string {
	if len(argv) == 3 && argv[0] == "/bin/sh" {
		return argv[2]
	}
	return strings.Join(argv, " ")
}

// always is what ZenML writes though nothing is installed, and kanso does not.
const always = "RUN pip install uv\n"

func TestPlansAreZenMLsOwnDockerfiles(t *testing.T) {
	dirs, err := filepath.Glob("../testdata/zenml-cases/*")
	if err != nil || len(dirs) < 30 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c oracle
			readJSON(t, filepath.Join(dir, "case.json"), &c)
			root, tools := materialise(t, c)
			env := map[string]string{"HOME": t.TempDir()}
			for k, v := range c.Env {
				env[k] = strings.ReplaceAll(v, "{ROOT}", root)
			}
			r, err := resolve.Resolve(t.Context(), resolve.Options{
				Dir: filepath.Join(root, c.Cwd), Env: env, Config: filepath.Join(dir, "run.yaml"), Stack: filepath.Join(dir, "stack.yaml"),
				Pipeline: c.Name, ZenML: c.ZenML, Python: c.Python, Matcher: resolve.MatcherDockerPy, NoStackConfig: true,
				AllowSecrets: []string{".git/config"},
			}, noBases{}, shellHost{tools})
			if c.Error != nil {
				if err == nil {
					t.Errorf("ZenML refuses it (%s: %s)", c.Error.Type, c.Error.Message)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			compareBuild(t, dir, r)
		})
	}
}

func compareBuild(t *testing.T, dir string, r resolve.Result) {
	t.Helper()
	var builds []struct {
		Name string `json:"image_name"`
		Dir  string `json:"dir"`
	}
	readJSON(t, filepath.Join(dir, "expected/builds.json"), &builds)
	if len(r.Names) != 1 || r.Names[0] != builds[0].Name {
		t.Errorf("the image is called %q, want %q", r.Names, builds[0].Name)
	}
	files := filepath.Join(dir, "expected", builds[0].Dir, "files")
	want, err := os.ReadFile(filepath.Join(files, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(want)
	installs := 0
	for _, s := range r.Plan.Stages[0].Steps {
		i, ok := s.(plan.Install)
		if !ok || i.File == "" {
			continue
		}
		installs++
		content, err := os.ReadFile(filepath.Join(files, filepath.Base(i.File)))
		if err != nil || string(content) != i.Requirements {
			t.Errorf("%s is %q, want %q (%v)", i.File, i.Requirements, content, err)
		}
	}
	if installs == 0 {
		text = strings.Replace(text, always, "", 1)
	}
	if d := cmp.Diff(text, dockerfile(r.Plan)); d != "" {
		t.Error(d)
	}
	compareFiles(t, filepath.Join(dir, "expected", builds[0].Dir, "context.json"), r.Files.Paths)
}

// compareFiles compares the files that go in, if ZenML includes them too. What
// ZenML generates stands beside them; directories that only lead to something
// are not listed by ZenML.
func compareFiles(t *testing.T, file string, got []string) {
	t.Helper()
	var context []struct {
		Path, Type string
		Generated  bool
	}
	readJSON(t, file, &context)
	var want, dirs []string
	for _, e := range context {
		if e.Generated {
			continue
		}
		want = append(want, e.Path)
		if e.Type == "dir" {
			dirs = append(dirs, e.Path)
		}
	}
	if len(want) == 0 {
		return // ZenML leaves the code to the artifact store
	}
	got = slices.DeleteFunc(slices.Clone(got), func(p string) bool {
		leads := slices.ContainsFunc(got, func(q string) bool { return strings.HasPrefix(q, p+"/") })
		return leads && !slices.Contains(dirs, p) || p == "Dockerfile"
	})
	want = slices.DeleteFunc(want, func(p string) bool { return p == "Dockerfile" })
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
