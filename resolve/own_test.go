package resolve_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

// scratchBases know no base.
type scratchBases struct{ noBases }

func (scratchBases) Config(_ context.Context, ref, _ string) (resolve.BaseConfig, error) {
	return resolve.BaseConfig{}, fmt.Errorf("base %s: nobody should ask", ref)
}

// contextOf makes a context: NAME or NAME=CONTENT, NAME/ for a directory,
// NAME->TARGET for a link.
func contextOf(t *testing.T, entries ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
		name, target, isLink := strings.Cut(e, "->")
		name, content, _ := strings.Cut(name, "=")
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, p)
		case strings.HasSuffix(name, "/"):
			err = os.Mkdir(p, 0o755)
		default:
			err = os.WriteFile(p, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// copied resolves a Dockerfile of one instruction on an empty image, and
// returns the files of its first copy.
func copied(t *testing.T, dir, instruction string) ([]string, error) {
	t.Helper()
	r, err := resolve.Dockerfile(t.Context(), resolve.DockerfileOptions{
		File: "Dockerfile", Text: []byte("FROM scratch\n" + instruction + "\n"), Context: dir, Beside: filepath.Join(dir, "Dockerfile"),
	}, scratchBases{})
	if err != nil {
		return nil, err
	}
	for _, s := range r.Images[0].Plan.Stages[0].Steps {
		switch s := s.(type) {
		case plan.Copy:
			return s.Files, nil
		case plan.Run:
			return s.Mounts[0].Files, nil
		}
	}
	t.Fatal("no copy")
	return nil, nil
}

func TestACopyHasWhatItsPatternsCanMatch(t *testing.T) {
	tests := []struct {
		name        string
		context     []string
		instruction string
		want        []string // or an error
		wrong       string
	}{
		{
			"a directory with all that is in it", []string{"a/b/c", "a/d", "x"}, "COPY a /", //
			[]string{"a", "a/b", "a/b/c", "a/d"}, "",
		},
		{"the context itself", []string{"a/b", "x"}, "COPY . /", []string{"a", "a/b", "x"}, ""},
		{"no way out", []string{"a/b", "x"}, "COPY ../../a /", []string{"a", "a/b"}, ""},
		{"wildcards", []string{"a1/x", "a2/x", "a3/y", "b/x"}, "COPY a?/x /", []string{"a1", "a1/x", "a2", "a2/x"}, ""},
		{"a class that escapes", []string{"[x]", "x"}, "COPY [[]x] /", []string{"[x]"}, ""},
		{"a wildcard that matches nothing", []string{"x"}, "COPY *.none /", nil, ""},
		{"a name that is not there", []string{"x"}, "COPY x nothere /", nil, `Dockerfile:2: nothere: not found in the build context, in "COPY x nothere /"`},
		{"a name below a file", []string{"x"}, "COPY x/y /", nil, "Dockerfile:2: x/y: not found"},
		{"a link and what it leads to", []string{"l->d/f", "d/f", "d/g"}, "COPY l /", []string{"d", "d/f", "l"}, ""},
		{"a link on the way", []string{"l->d", "d/f", "d/g"}, "COPY l/f /", []string{"d", "d/f", "l"}, ""},
		{"a link to a directory", []string{"l->d", "d/f", "e"}, "COPY l /", []string{"d", "d/f", "l"}, ""},
		{"links to links", []string{"a->b", "b->/c", "c->d/e", "d/e", "x"}, "COPY a /", []string{"a", "b", "c", "d", "d/e"}, ""},
		{"a link among what is copied stays one", []string{"d/l->../x", "x"}, "COPY d /", []string{"d", "d/l"}, ""},
		{"a link out of the context stays in it", []string{"l->/etc/passwd"}, "COPY l /", nil, "Dockerfile:2: l: not found"},
		{"a link above the context stays in it", []string{"l->../../etc/hostname", "etc/hostname"}, "COPY l /", []string{"etc", "etc/hostname", "l"}, ""},
		{"links in a circle", []string{"a->b", "b->a"}, "COPY a /", nil, "too many links"},
		{"a wildcard does not go through links", []string{"d/f", "l1->d"}, "COPY l*/f /", nil, ""},
		{"a wildcard that matches a link", []string{"d/f", "l1->d"}, "COPY l* /", []string{"d", "d/f", "l1"}, ""},
		{"what a link names has no wildcards", []string{"l->*", "*", "x"}, "COPY l /", []string{"*", "l"}, ""},
		{"ignored", []string{".dockerignore=d/*\n!d/g\n", "d/f", "d/g"}, "COPY d /", []string{"d", "d/g"}, ""},
		{"an exception deep in what is ignored", []string{".dockerignore=a\n!a/b/c/d\n", "a/b/c/d", "a/b/c/e", "a/f"}, "COPY a /", []string{"a", "a/b", "a/b/c", "a/b/c/d"}, ""},
		{"an exception with a wildcard", []string{".dockerignore=*\n!**/*.py\n", "a/b/c.py", "a/b/d", "e.py"}, "COPY . /", []string{"a", "a/b", "a/b/c.py", "e.py"}, ""},
		{"the Dockerfile can be ignored", []string{".dockerignore=Dockerfile\n.dockerignore\n", "Dockerfile", "x"}, "COPY . /", []string{"x"}, ""},
		{"an ignore file of its own is stronger", []string{".dockerignore=x\n", "Dockerfile.dockerignore=y\n", "x", "y"}, "COPY x y* /", []string{"x"}, ""},
		{"ignored by name", []string{".dockerignore=# no logs\n\n*.log\n", "a.log"}, "COPY a.log /", nil, "Dockerfile:2: a.log: not found in the build context: .dockerignore:3 (*.log) leaves it out"},
		{"a link that is ignored", []string{".dockerignore=l\n", "l->d", "d/f"}, "COPY l/f /", nil, "l/f: not found"},
		{"a link to what is ignored", []string{".dockerignore=d\n", "l->d/f", "d/f"}, "COPY l /", nil, "l: not found"},
		{"an invalid pattern", []string{".dockerignore=ok\n[\n", "x"}, "COPY x /", nil, `.dockerignore:2: pattern "[": syntax error in pattern`},
		{"an ignore file that is a link out", []string{".dockerignore->/etc/passwd", "x"}, "COPY x /", nil, "ignore file: "},
		{"an exclamation mark alone", []string{".dockerignore=!\n", "x"}, "COPY x /", nil, ".dockerignore:1: "},
		{"--parents with any directories", []string{"a/b/x.py", "a/c/y", "a/z.py"}, "COPY --parents a/**/*.py /", []string{"a", "a/b", "a/b/x.py", "a/z.py"}, ""},
		{"a bind mount", []string{"a/b", "x"}, "RUN --mount=type=bind,source=a,target=/a true", []string{"a", "a/b"}, ""},
		{"a bind mount of the context", []string{".dockerignore=x\n", "a/b", "x"}, "RUN --mount=type=bind,target=/a true", []string{".dockerignore", "a", "a/b"}, ""},
		{"a bind mount of what is not there", []string{"x"}, "RUN --mount=type=bind,source=a,target=/a true", nil, "Dockerfile:2: a: not found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := copied(t, contextOf(t, test.context...), test.instruction)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Fatalf("error %v, want %q", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
		})
	}
}

func TestNamedContextsHaveIgnoreFilesOfTheirOwn(t *testing.T) {
	dir := contextOf(t, ".dockerignore=x\n", "x", "y")
	r, err := resolve.Dockerfile(t.Context(), resolve.DockerfileOptions{
		File: "Dockerfile", Text: []byte("FROM scratch\nCOPY --from=more . /\nCOPY --from=more x /\n"),
		Contexts: map[string]plan.Source{"more": {Context: "more"}}, Dirs: map[string]string{"more": dir},
	}, scratchBases{})
	if err == nil || !strings.Contains(err.Error(), "Dockerfile:3: x: not found in the build context more: .dockerignore:1 (x) leaves it out") {
		t.Errorf("got %v, %v", r.Images, err)
	}
}

func TestWordsOfDockerBuild(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "64": 64, "64b": 64, "1k": 1024, "64m": 64 << 20, "64MiB": 64 << 20, "1.5GB": 3 << 29, "x": -1, "-1": -1, "": -1, "1x": -1} {
		got, err := resolve.ParseBytes(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("size %q: %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"a:1.2.3.4": "a=1.2.3.4", "a=1.2.3.4": "a=1.2.3.4", "a:::1": "a=::1", "a=[::1]": "a=::1", "a:host-gateway": "a=127.0.0.1",
		"a": "", "a:": "", ":1.2.3.4": "", "a:b": "", "a b:1.2.3.4": "",
	} {
		if got, err := resolve.ParseHost(text); got != want || (err != nil) != (want == "") {
			t.Errorf("host %q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]plan.Ulimit{
		"nofile=1:2": {Name: "nofile", Soft: 1, Hard: 2}, "nproc=5": {Name: "nproc", Soft: 5, Hard: 5}, "core=-1": {Name: "core", Soft: -1, Hard: -1},
		"nofile=2:1": {}, "nofile": {}, "what=1": {}, "nofile=a": {}, "nofile=-2": {},
	} {
		if got, err := resolve.ParseUlimit(text); (err != nil) != (want.Name == "") || err == nil && got != want {
			t.Errorf("limit %q: %v, %v", text, got, err)
		}
	}
}
