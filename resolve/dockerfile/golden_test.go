package dockerfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

var update = flag.Bool("update", false, "rewrite what the cases want")

// TestGoldenPlans lowers the Dockerfile of each archive in testdata/plans. An
// archive holds "Dockerfile", options (see [options]) in the comment that
// stands before it, and what is wanted: "plan", "warnings", "env" and "error".
func TestGoldenPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := txtar.Archive{Comment: a.Comment, Files: append(a.Files[:1:1], answer(t, a)...)}
			if *update {
				if err := os.WriteFile(file, txtar.Format(&got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(txtar.Format(a)), string(txtar.Format(&got))); d != "" {
				t.Error(d)
			}
		})
	}
}

// answer is what lowering the Dockerfile of an archive gives.
func answer(t *testing.T, a *txtar.Archive) []txtar.File {
	if a.Files[0].Name != "Dockerfile" {
		t.Fatalf("the first file is %s", a.Files[0].Name)
	}
	got, err := dockerfile.Lower(t.Context(), a.Files[0].Data, options(t, string(a.Comment)), images)
	if err != nil {
		if placed := (*dockerfile.Error)(nil); errors.As(err, &placed) && placed.Line == 0 {
			t.Errorf("%v is nowhere", err)
		}
		return []txtar.File{{Name: "error", Data: []byte(err.Error() + "\n")}}
	}
	for _, s := range got.Plan.Stages {
		if len(s.Lines) != len(s.Steps) {
			t.Errorf("%d lines of %d steps", len(s.Lines), len(s.Steps))
		}
	}
	var b bytes.Buffer
	for _, s := range got.Plan.Stages {
		bare := s
		bare.Steps, bare.Lines = []plan.Step{}, nil
		fmt.Fprintln(&b, compact(t, bare))
		for i, step := range s.Steps {
			fmt.Fprintf(&b, "  %s %s %s\n", strings.TrimPrefix(s.Line(i), "Dockerfile:"), step.Kind(), compact(t, step))
		}
	}
	out := []txtar.File{{Name: "plan", Data: b.Bytes()}}
	if len(got.Warnings) > 0 {
		var b strings.Builder
		for _, w := range got.Warnings {
			fmt.Fprintf(&b, "%d %s: %s\n", w.Line, w.Rule, w.Text)
		}
		out = append(out, txtar.File{Name: "warnings", Data: []byte(b.String())})
	}
	if got.StepEnv != nil {
		out = append(out, txtar.File{Name: "env", Data: []byte(compact(t, got.StepEnv) + "\n")})
	}
	if got.Epoch != nil {
		out = append(out, txtar.File{Name: "epoch", Data: fmt.Appendln(nil, *got.Epoch)})
	}
	return out
}

func compact(t *testing.T, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

// options reads lines such as "arg NAME=VALUE"; those with "#" are for people.
func options(t *testing.T, comment string) dockerfile.Options {
	o := dockerfile.Options{BuildArgs: map[string]string{}, Labels: map[string]string{}, Contexts: map[string]plan.Source{}}
	for line := range strings.Lines(comment) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, value, _ := strings.Cut(rest, "=")
		switch word {
		case "", "#":
		case "arg":
			o.BuildArgs[name] = value
		case "label":
			o.Labels[name] = value
		case "target":
			o.Target = rest
		case "platform":
			o.Platform = rest
		case "build":
			o.Build = rest
		case "context":
			o.Contexts[name] = plan.Source{Context: value}
		case "image":
			o.Contexts[name] = plan.Source{Image: value}
		case "ignore":
			o.Ignore = append(o.Ignore, rest)
		case "network":
			o.Network = rest
		case "host":
			o.Hosts = append(o.Hosts, rest)
		case "nofile":
			o.Ulimits = append(o.Ulimits, plan.Ulimit{Name: "nofile", Soft: 10, Hard: 20})
		case "shm":
			o.ShmSize = 1 << 20
		default:
			t.Fatalf("option %q", line)
		}
	}
	return o
}
