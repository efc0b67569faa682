package main

import (
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository makes a git repository with two commits, a branch, a tag and a
// link that leads out of it, and serves it by HTTP.
func repository(t *testing.T) (url, first string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	script := `
set -e
git init -q -b main "$1" && cd "$1"
git config user.name n && git config user.email n@example.com && git config commit.gpgsign false
mkdir sub && echo one >sub/file && ln -s / sub/out && git add . && git commit -q -m one && git tag v1
echo two >sub/file && git commit -q -a -m two
git branch other v1
git config http.receivepack false && git config uploadpack.allowAnySHA1InWant true
`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make repository: %v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "rev-parse", "v1").Output()
	if err != nil {
		t.Fatal(err)
	}
	where, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(where)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1"},
	})
	t.Cleanup(s.Close)
	return s.URL + "/repo", strings.TrimSpace(string(out))
}

func TestRepositoriesAreCheckedOut(t *testing.T) {
	url, first := repository(t)
	a := newApp(environ{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}, nil, nil, nil)
	tests := []struct {
		source, file, want string
		keep               bool
	}{
		{"", "sub/file", "two", false},
		{"#main", "sub/file", "two", true},
		{"#v1", "sub/file", "one", false},
		{"#other", "sub/file", "one", false},
		{"#" + first, "sub/file", "one", false},
		{"#:sub", "file", "two", false},
		{"#v1:/sub", "file", "one", false},
	}
	for _, test := range tests {
		dir := filepath.Join(t.TempDir(), "to")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		commit, err := a.checkout(t.Context(), url+test.source, dir, test.keep)
		if err != nil {
			t.Errorf("%s: %v", test.source, err)
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, test.file))
		if err != nil || strings.TrimSpace(string(data)) != test.want {
			t.Errorf("%s: %q, %v", test.source, data, err)
		}
		if len(commit) != 40 || test.want == "one" && commit != first {
			t.Errorf("%s: commit %s, the first is %s", test.source, commit, first)
		}
		if _, err := os.Stat(filepath.Join(dir, ".git")); (err == nil) != test.keep {
			t.Errorf("%s: .git: %v", test.source, err)
		}
	}
}

func TestRepositoriesThatAreRefused(t *testing.T) {
	url, _ := repository(t)
	a := newApp(environ{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}, nil, nil, nil)
	marker := filepath.Join(t.TempDir(), "ran")
	for source, want := range map[string]string{
		url + "#none":       "git source",
		url + "#v1:none":    "none",
		url + "#v1:sub/out": "escapes",
		"--upload-pack=touch " + marker + "#main": "option",
		url + "#--upload-pack=touch " + marker:    "option",
		"ext::sh -c 'touch " + marker + "'":       "not allowed",
		"file:///etc":                             "not allowed",
		"http://user:hunter22@127.0.0.1:1/x":      "git source",
	} {
		dir := filepath.Join(t.TempDir(), "to")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := a.checkout(t.Context(), source, dir, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
			continue
		}
		if text := a.redact.text(err.Error()); strings.Contains(text, "hunter22") {
			t.Errorf("a password is shown: %s", text)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a command of the source ran")
	}
	none := newApp(environ{"PATH": t.TempDir()}, nil, nil, nil)
	if _, err := none.checkout(t.Context(), url, t.TempDir(), false); err == nil || hint(err) == "" {
		t.Errorf("without git: %v", err)
	}
}
