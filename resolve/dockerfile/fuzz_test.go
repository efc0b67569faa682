package dockerfile_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

// anyImage knows every image.
type anyImage struct{}

func (anyImage) Config(_ context.Context, ref, _ string) (dockerfile.Config, error) {
	if c, ok := images[ref]; ok {
		return c, nil
	}
	return dockerfile.Config{Env: []plan.Var{{Name: "PATH", Value: "/bin"}}, OS: "linux", Architecture: "amd64"}, nil
}

// FuzzLower lowers anything: the plan holds together, or there is an error that
// names a line; and it is the same each time.
func FuzzLower(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add(string(text), "")
	}
	f.Add("FROM a\nRUN --mount=from=b,target=x a\n", "b")
	f.Fuzz(func(t *testing.T, text, target string) {
		o := dockerfile.Options{
			Target: target, BuildArgs: map[string]string{"A": "1", "http_proxy": "p"},
			Contexts: map[string]plan.Source{"ctx": {Context: "ctx"}, "img": {Image: "base"}},
		}
		got, err := dockerfile.Lower(t.Context(), []byte(text), o, anyImage{})
		again, err2 := dockerfile.Lower(t.Context(), []byte(text), o, anyImage{})
		if (err == nil) != (err2 == nil) || err != nil && bare(err) != bare(err2) || !reflect.DeepEqual(got, again) {
			t.Errorf("%v, then %v", err, err2)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "Dockerfile") {
			t.Errorf("%v names no place", err)
		}
		check(t, got)
	})
}

// bare is an error without what BuildKit takes to be meant, which is not the
// same each time.
func bare(err error) string {
	return regexp.MustCompile(` \(did you mean [^)]*\)`).ReplaceAllString(err.Error(), "")
}

// check holds a plan against what its package says of plans.
func check(t *testing.T, got dockerfile.Lowered) {
	t.Helper()
	if _, err := json.Marshal(got.Plan); err != nil {
		t.Error(err)
	}
	names := map[string]bool{}
	for _, s := range got.Plan.Stages {
		if len(s.Lines) != len(s.Steps) {
			t.Errorf("%d lines of %d steps", len(s.Lines), len(s.Steps))
		}
		if (s.Base == "") == (s.BaseStage == "") || s.BaseStage != "" && !names[s.BaseStage] {
			t.Errorf("base %q and base stage %q", s.Base, s.BaseStage)
		}
		for _, step := range s.Steps {
			checkStep(t, step, names)
		}
		if s.Name != "" && names[s.Name] {
			t.Errorf("two stages are %q", s.Name)
		}
		names[s.Name] = true
	}
}

func checkStep(t *testing.T, step plan.Step, names map[string]bool) {
	t.Helper()
	switch step := step.(type) {
	case plan.Copy:
		checkSource(t, step.From, names)
		if !path.IsAbs(step.Dest) || strings.Contains(step.Dest+"/", "/../") || len(step.Patterns) == 0 {
			t.Errorf("copy %q to %q", step.Patterns, step.Dest)
		}
		for _, p := range step.Patterns {
			if p == "" || path.IsAbs(p) || strings.Contains("/"+p+"/", "/../") {
				t.Errorf("pattern %q", p)
			}
		}
	case plan.Write:
		for _, f := range step.Files {
			if path.Clean(f.Path) != f.Path || !path.IsAbs(f.Path) || f.Mode&fs.ModeDir == 0 {
				t.Errorf("write %v", f)
			}
		}
	case plan.Run:
		if len(step.Args) == 0 {
			t.Error("a command without words")
		}
		for _, f := range step.Lent {
			if path.Clean(f.Path) != f.Path || !strings.HasPrefix(f.Path, "/dev/pipes/") {
				t.Errorf("lend %q", f.Path)
			}
		}
		for _, m := range step.Mounts {
			checkSource(t, m.From, names)
			if m.Target != "" && !path.IsAbs(m.Target) || strings.HasPrefix(m.Path, "/") || strings.Contains("/"+m.Path+"/", "/../") {
				t.Errorf("mount %q at %q", m.Path, m.Target)
			}
		}
	}
}

func checkSource(t *testing.T, s plan.Source, names map[string]bool) {
	t.Helper()
	if s.Stage != "" && !names[s.Stage] {
		t.Errorf("stage %q is not there yet", s.Stage)
	}
	for _, f := range s.Inline {
		if f.Path == "" || strings.Contains(f.Path, "/") {
			t.Errorf("inline file %q", f.Path)
		}
	}
}
