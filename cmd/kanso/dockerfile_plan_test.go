package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plansDir has the plan of each Dockerfile in casesDir, as kanso plan prints it.
const plansDir = "../../testdata/dockerfile/plans"

var updatePlans = flag.Bool("update-plans", false, "rewrite the plans of testdata/dockerfile")

// TestPlansOfDockerfiles compares what would be built for each case with what was
// planned for it before, so that a change of lowering shows where it is felt.
func TestPlansOfDockerfiles(t *testing.T) {
	bases := readBases(t, map[string]string{"": testCache("dockerfile/bases"), "zenml": testCache("base")})
	planner := &kansoBuilder{bases: bases, cache: openCacheDir(t)}
	planned := map[string]bool{}
	for _, file := range caseFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar") + ".txt"
		planned[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := readCase(t, file)
			c.write(t)
			got, _ := planner.do(t, c, "plan", append(planner.args(c, c.furnish(t)), c.dir))
			got = portablePlan(c, got)
			golden := filepath.Join(plansDir, name)
			if *updatePlans {
				must(t, os.WriteFile(golden, []byte(got), 0o644))
				return
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s; go test ./cmd/kanso -run TestPlansOfDockerfiles -update-plans rewrites it\n%s", golden, d)
			}
		})
	}
	there, err := os.ReadDir(plansDir)
	must(t, err)
	for _, f := range there {
		if !planned[f.Name()] {
			t.Errorf("%s has no case", f.Name())
		}
	}
}

// portablePlan is what was printed, the same on every machine.
func portablePlan(c *dockerCase, s string) string {
	s = strings.NewReplacer(c.dir, "CONTEXT", filepath.Dir(c.dir), "BESIDE", testCache(""), "CACHE").Replace(s)
	return regexp.MustCompile(`http://127\.0\.0\.1:\d+`).ReplaceAllString(s, "URL")
}
