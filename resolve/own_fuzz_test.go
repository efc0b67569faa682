package resolve_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

// FuzzContextPatterns copies by any pattern, under any ignore rules: what is
// taken is in the context, without a link on the way that leads out of it.
func FuzzContextPatterns(f *testing.F) {
	for _, p := range []string{"a", "*", "d/**", "../x", "up/secret", "abs", "[", "d/[^f]*", `d\/f`, "./././d", "loop/x", "/d/../../x", "d//f", "\xff"} {
		f.Add(p, "", false)
		f.Add(p, "*\n!d/f\n", true)
	}
	f.Fuzz(func(t *testing.T, pattern, ignore string, parents bool) {
		outside := contextOf(t, "secret=s")
		root := contextOf(t, "a=1", "d/f=2", "d/e/g=3", "up->"+outside, "abs->/etc/passwd", "loop->loop", "in->d")
		if strings.ContainsRune(ignore, 0) || os.WriteFile(filepath.Join(root, ".dockerignore"), []byte(ignore), 0o600) != nil {
			t.Skip()
		}
		flag := ""
		if parents {
			flag = "--parents "
		}
		r, err := resolve.Dockerfile(t.Context(), resolve.DockerfileOptions{
			File: "Dockerfile", Text: []byte("FROM scratch\nCOPY " + flag + "[" + strconv.Quote(pattern) + ", \"/x/\"]\n"), Context: root,
		}, scratchBases{})
		if err != nil {
			return // it says so
		}
		for _, step := range r.Images[0].Plan.Stages[0].Steps {
			c, ok := step.(plan.Copy)
			if !ok {
				continue
			}
			for _, name := range c.Files {
				dir, err := filepath.EvalSymlinks(filepath.Join(root, filepath.Dir(name)))
				if err != nil || !filepath.IsLocal(name) || dir != root && !strings.HasPrefix(dir, root+"/") {
					t.Errorf("COPY %q takes %q, in %s: %v", pattern, name, dir, err)
				}
			}
		}
	})
}
