package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A dockerBuilder builds a case's image as an OCI layout at out. Why it could
// not is what it wrote, the error says no more than that.
type dockerBuilder interface {
	build(t *testing.T, c *dockerCase, args []string, out string) (log string, err error)
}

// TestDockerfiles builds the cases of testdata/dockerfile and compares each with
// what BuildKit is known to give. Which cases is a matter of time: all of them if
// CONFORMANCE is "all", else each eighth, or with -short each fortieth.
//
// Where BUILDKIT is the directory of buildkitd's socket and of buildctl, BuildKit
// builds them in kanso's place, to see that the answers are right; with
// UPDATE_ANSWERS they are written anew.
func TestDockerfiles(t *testing.T) {
	bases := readBases(t, map[string]string{"": testCache("dockerfile/bases"), "zenml": testCache("base")})
	var builder dockerBuilder = &kansoBuilder{bases: bases, cache: openCacheDir(t)}
	reference := os.Getenv("BUILDKIT")
	if reference != "" {
		builder = &buildkitBuilder{bases: bases, dir: reference}
	}
	known := readDifferences(t, reference == "")
	each := 8
	switch all := os.Getenv("CONFORMANCE") == "all"; {
	case all:
		each = 1
	case testing.Short():
		each = 40
	}
	files := caseFiles(t)
	var ran atomic.Int64
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if i%each != 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ran.Add(1)
			checkCase(t, readCase(t, file), builder, bases, known)
		})
	}
	t.Cleanup(func() {
		if int(ran.Load()) == len(files) {
			known.unused(t)
		}
	})
}

// openCacheDir is a directory that can be removed whatever modes the trees in it
// have.
func openCacheDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && err == nil {
				_ = os.Chmod(p, 0o700) // before it is read
			}
			return nil
		})
	})
	return dir
}

func caseFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(casesDir, "*.txtar"))
	must(t, err)
	if len(files) < 150 {
		t.Fatalf("%d cases", len(files))
	}
	return files
}

func testCache(below string) string {
	dir := os.Getenv("KANSO_TEST_CACHE")
	if dir == "" {
		dir = "/var/tmp/kanso-test"
	}
	return filepath.Join(dir, below)
}

func checkCase(t *testing.T, c *dockerCase, builder dockerBuilder, bases *dockerBases, known *differences) {
	c.write(t)
	got, log := buildCase(t, c, builder, bases)
	want, ok := c.want()
	if os.Getenv("UPDATE_ANSWERS") != "" {
		if got != want {
			c.record(t, got)
		}
		return
	}
	if !ok {
		t.Fatalf("%s has no answer", c.file)
	}
	for _, d := range compareAnswers(want, got, log) {
		if !known.has(strings.TrimSuffix(filepath.Base(c.file), ".txtar"), d) {
			t.Errorf("%s", d)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", c.archive.Comment, log)
	}
}

// buildCase builds a case and describes what came out.
func buildCase(t *testing.T, c *dockerCase, builder dockerBuilder, bases *dockerBases) (answer, log string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image")
	log, err := builder.build(t, c, c.furnish(t), out)
	if err != nil {
		return failure(log), log
	}
	img, err := imageIn(out, "")
	must(t, err)
	answer, err = bases.answer(img)
	must(t, err)
	return strings.Join(append(warningsIn(log), answer), "\n"), log
}

// furnish starts what a case is built beside, and returns its flags.
func (c *dockerCase) furnish(t *testing.T) []string {
	t.Helper()
	args := slices.Clone(c.args)
	if c.serve || c.git {
		args = append(args, "--build-arg", "URL="+serveCase(t, c))
	}
	if c.agent {
		agentSocket(t, filepath.Join(c.dir, "../agent"))
	}
	return args
}

// serveCase serves ../www, a repository in it included.
func serveCase(t *testing.T, c *dockerCase) string {
	t.Helper()
	root := filepath.Join(c.dir, "../www")
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(root)))
	if c.git {
		commitCase(t, filepath.Join(c.dir, "../repo"), filepath.Join(root, "repo.git"))
		out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
		must(t, err)
		mux.Handle("/repo.git/", &cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
			Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// commitCase makes the repository of all that is in dir: one commit, on the branch main, with the tag v1.
func commitCase(t *testing.T, dir, bare string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "all"}, {"tag", "v1"}, {"clone", "-q", "--bare", ".", bare},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME="+dir,
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example",
			"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
}

// agentSocket is a socket that says how it was greeted.
func agentSocket(t *testing.T, name string) {
	t.Helper()
	l, err := net.Listen("unix", name)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte{0, 0, 0, 5, 12, 0, 0, 0, 0}) // no identities
			_ = conn.Close()
		}
	}()
}

// failure is the answer of a build that failed: where, as far as that is known, and a message for readers.
func failure(log string) string {
	answer := "error"
	if m := regexp.MustCompile(`(?m)\b([\w.]*Dockerfile):(\d+)\b`).FindString(log); m != "" {
		answer += " " + m
	}
	for line := range strings.Lines(log) {
		if message, ok := strings.CutPrefix(line, "error: "); ok {
			message = strings.TrimPrefix(strings.TrimSpace(message), "failed to solve: ")
			message = regexp.MustCompile(`ref [\w:]+: `).ReplaceAllString(message, "")
			message = regexp.MustCompile(`/[^ ]*/cachemounts/buildkit\d+`).ReplaceAllString(message, "")
			message = regexp.MustCompile(`http://127.0.0.1:\d+`).ReplaceAllString(message, "URL")
			answer += "\n# " + message
		}
	}
	return answer + "\n"
}

// warningsIn are the warnings in a builder's log that kanso gives, too.
func warningsIn(log string) []string {
	found := map[string]bool{}
	for line := range strings.Lines(log) {
		for _, rule := range []string{"SecretsUsedInArgOrEnv", "UndefinedVar", "JSONArgsRecommended"} {
			if !strings.Contains(line, rule) {
				continue
			}
			if m := regexp.MustCompile(`\(line (\d+)\)|[\w.]*Dockerfile:(\d+)`).FindStringSubmatch(line); m != nil {
				found[fmt.Sprintf("warning %s line %s", rule, m[1]+m[2])] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// compareAnswers lists how an answer differs from the one that is wanted, a line each.
func compareAnswers(want, got, log string) []string {
	lines := func(s string) []string {
		return slices.DeleteFunc(strings.Split(strings.TrimSpace(s), "\n"), func(l string) bool { return strings.HasPrefix(l, "# ") })
	}
	w, g := lines(want), lines(got)
	var all []string
	for _, l := range w {
		where, failed := strings.CutPrefix(l, "error")
		if failed && slices.ContainsFunc(g, func(l string) bool { return strings.HasPrefix(l, "error") }) && strings.Contains(log, strings.TrimSpace(where)) {
			continue
		}
		if !slices.Contains(g, l) {
			all = append(all, "missing: "+l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) && (!strings.HasPrefix(l, "error") || !strings.HasPrefix(w[0], "error")) {
			all = append(all, "more: "+l)
		}
	}
	return all
}

// kansoBuilder is the program under test, in this process.
type kansoBuilder struct {
	bases *dockerBases
	cache string
}

func (k *kansoBuilder) build(t *testing.T, c *dockerCase, args []string, out string) (string, error) {
	t.Helper()
	return k.do(t, c, "build", append(k.args(c, args), "--progress", "plain", "--output", "oci:"+out, c.dir))
}

// do is a verb of the program for a case, and what it printed.
func (k *kansoBuilder) do(t *testing.T, c *dockerCase, verb string, args []string) (string, error) {
	t.Helper()
	env := environ{"KANSO_CACHE_DIR": k.cache, "HOME": filepath.Dir(c.dir), "PATH": os.Getenv("PATH"), "TMPDIR": os.Getenv("TMPDIR")}
	maps.Copy(env, c.env)
	var log bytes.Buffer
	if code := newApp(env, strings.NewReader(""), &log, &log).execute(t.Context(), append([]string{verb}, args...)); code != 0 {
		return log.String(), statusError(code)
	}
	return log.String(), nil
}

// args are a case's flags, with its Dockerfile and bases.
func (k *kansoBuilder) args(c *dockerCase, args []string) []string {
	var all []string
	if !slices.Contains(args, "-f") {
		all = append(all, "-f", filepath.Join(c.dir, "Dockerfile"))
	}
	for i, a := range args {
		all = append(all, k.bases.layouts(inCase(c, args, i, a)))
	}
	for _, base := range k.bases.list {
		if c.mentions(base.name) {
			all = append(all, "--build-context", base.name+"="+k.bases.layouts("oci-layout://"+base.name))
		}
	}
	return all
}

// inCase is a flag's value with the paths in it as those of the case.
func inCase(c *dockerCase, args []string, i int, a string) string {
	if i == 0 {
		return a
	}
	switch args[i-1] {
	case "-f":
		return filepath.Join(c.dir, a)
	case "--secret":
		return strings.Replace(a, "src=", "src="+c.dir+"/", 1)
	case "--ssh":
		return strings.Replace(a, "=", "="+c.dir+"/", 1)
	case "--build-context":
		name, from, _ := strings.Cut(a, "=")
		if !strings.Contains(from, "://") {
			return name + "=" + filepath.Join(c.dir, from)
		}
	}
	return a
}

// layouts puts the place of a base in the place of its name: oci-layout://busybox.
func (b *dockerBases) layouts(s string) string {
	before, name, ok := strings.Cut(s, "oci-layout://")
	if !ok {
		return s
	}
	tag := name
	if name == "zenml" {
		tag = "0.98.0-py3.11"
	}
	return before + "oci-layout://" + b.byName[name].dir + ":" + tag
}
