package dockerfile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

func TestVariablesAreThoseThatDockerSets(t *testing.T) {
	env := map[string]string{"HOME": "/root"}
	for _, c := range []struct {
		line string
		want []plan.Var
	}{
		{`A='a b'`, []plan.Var{{Name: "A", Value: "a b"}}},
		{`A='$HOME/x'`, []plan.Var{{Name: "A", Value: "$HOME/x"}}},
		{`A=$HOME/x`, []plan.Var{{Name: "A", Value: "/root/x"}}},
		{`A=1 B=2`, []plan.Var{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}},
		{`M='{'k': 'v'}'`, []plan.Var{{Name: "M", Value: "{k: v}"}}},
		{`A=`, []plan.Var{{Name: "A", Value: ""}}},
	} {
		got, err := dockerfile.Env(c.line, env)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.line, d)
		}
	}
}

func TestVariablesThatBreakADockerfileAreRefused(t *testing.T) {
	for _, line := range []string{`L='['a', 1, 'x y']'`, `A='it's'`, "A='a\nb'", "A=a b"} {
		if vars, err := dockerfile.Env(line, nil); err == nil {
			t.Errorf("%q gives %v", line, vars)
		}
	}
}
