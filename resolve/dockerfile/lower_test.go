package dockerfile_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

// bases are configurations by reference.
type bases map[string]dockerfile.Config

func (b bases) Config(_ context.Context, ref, _ string) (dockerfile.Config, error) {
	c, ok := b[ref]
	if !ok {
		return c, fmt.Errorf("%s: no such image", ref)
	}
	return c, nil
}

// binPath is what an image of the tests has as its environment.
var binPath = plan.Var{Name: "PATH", Value: "/bin"}

// images are the bases of the tests.
var images = bases{
	"base": {Env: []plan.Var{binPath}, OS: "linux", Architecture: "amd64"},
	"other": {
		Env: []plan.Var{binPath, {Name: "X", Value: "of-base"}}, WorkingDir: "/srv", User: "1000",
		Shell: []string{"/bin/bash", "-c"}, OS: "linux", Architecture: "amd64",
	},
	"bare": {},
	"triggers": {
		Env: []plan.Var{binPath}, OnBuild: []string{"COPY . /app", "RUN build $X", "ENV FROM=trigger"}, OS: "linux", Architecture: "amd64",
	},
	"triggers-bad":                 {Env: []plan.Var{binPath}, OnBuild: []string{"RUNN x"}},
	"oci:layout":                   {Env: []plan.Var{binPath}, WorkingDir: "rel", OS: "linux", Architecture: "amd64"},
	"docker.io/library/oci:latest": {Env: []plan.Var{binPath}},
}

func lower(t *testing.T, text string, o dockerfile.Options) dockerfile.Lowered {
	t.Helper()
	got, err := dockerfile.Lower(t.Context(), []byte(text), o, images)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStepsOfADockerfile(t *testing.T) {
	got := lower(t, `FROM base AS build
ARG V=1
ENV A=$V
WORKDIR src
RUN make $V

FROM base
COPY --from=build --chown=5 out/ /usr/
USER nobody
CMD ["run"]
`, dockerfile.Options{})
	escaped := true
	want := plan.Plan{Stages: []plan.Stage{{
		Name: "build", Base: "base",
		Steps: []plan.Step{
			plan.Set{Env: []plan.Var{{Name: "A", Value: "1"}}},
			plan.Set{WorkingDir: "/src"},
			plan.Write{Files: []plan.File{{Path: "/src", Mode: 0o755 | 1<<31}}, Missing: true},
			plan.Run{Args: []string{"/bin/sh", "-c", "make $V"}, Vars: []plan.Var{{Name: "V", Value: "1"}}},
		},
		Lines: []string{"Dockerfile:3", "Dockerfile:4", "Dockerfile:4", "Dockerfile:5"},
	}, {
		Base: "base",
		Steps: []plan.Step{
			plan.Copy{From: plan.Source{Stage: "build"}, Patterns: []string{"out"}, Dest: "/usr/", Owner: "5:5", Modes: plan.ModesDisk},
			plan.Set{User: "nobody"},
			plan.Set{Cmd: []string{"run"}, ArgsEscaped: &escaped},
		},
		Lines: []string{"Dockerfile:8", "Dockerfile:9", "Dockerfile:10"},
	}}}
	if d := cmp.Diff(want, got.Plan); d != "" {
		t.Error(d)
	}
}
