package resolve_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers/secrets"
	"github.com/kanso-build/kanso/resolve"
)

// write makes files with contents in a directory; a name that ends with a
// slash is a directory.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// vectors is the tree on which the two readings were compared.
func vectors(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"empty/": ""}
	for _, p := range []string{
		".zen/config.yaml", ".zenrc", ".git/HEAD", ".env", "Dockerfile", "README.md", "readme.md", "Data/a.csv", "data/b.csv", "src/a.py",
		"src/__pycache__/a.pyc", "src/deep/__pycache__/b.pyc", "src/deep/x.py", "src/deep/keep.log", "foo.py", "sub/Dockerfile", "a b.txt",
	} {
		files[p] = "x"
	}
	write(t, dir, files)
	for name, to := range map[string]string{"linkdir": "src", "dangling": "/nonexistent"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// taken are the files and links that go in.
func taken(t *testing.T, o resolve.FileOptions) []string {
	t.Helper()
	set, err := resolve.Files(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(set.Paths, func(p string) bool {
		info, err := os.Lstat(filepath.Join(o.Root, p))
		return err != nil || info.IsDir() && p != "empty"
	})
}

// without is a list without what is, or lies below, one of some paths.
func without(list []string, paths ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(p string) bool {
		return slices.ContainsFunc(paths, func(q string) bool { return p == q || strings.HasPrefix(p, q+"/") })
	})
}

func TestBothReadingsOfIgnoreFiles(t *testing.T) {
	dir := vectors(t)
	ignore := filepath.Join(dir, ".dockerignore")
	write(t, dir, map[string]string{".dockerignore": ""})
	all := taken(t, resolve.FileOptions{Root: dir})
	star := []string{".dockerignore", ".zen/config.yaml", "Dockerfile"}
	dockerStar := []string{".dockerignore", ".zen/config.yaml"} // Docker keeps no Dockerfile for its own sake
	src := []string{"src/__pycache__/a.pyc", "src/a.py", "src/deep/__pycache__/b.pyc", "src/deep/keep.log", "src/deep/x.py"}
	pycache := []string{"src/__pycache__", "src/deep/__pycache__"}
	for _, v := range []struct {
		text       string
		py, docker []string // nil: as the other one
	}{
		{".*", without(all, ".env", ".git", ".zenrc"), nil},
		{"*", star, dockerStar},
		{"*\n!src", append(slices.Clone(star), src...), append(slices.Clone(dockerStar), src...)},
		{"*\n!src/**/*.py", append(slices.Clone(star), "src/a.py"), append(slices.Clone(dockerStar), "src/a.py", "src/deep/x.py")},
		{"*\n!**/*.py", append(slices.Clone(star), "foo.py"), append(slices.Clone(dockerStar), "foo.py", "src/a.py", "src/deep/x.py")},
		{"**", star, dockerStar},
		{"__pycache__", all, nil},
		{"**/__pycache__", without(all, pycache...), nil},
		{"DATA", without(all, "Data", "data"), all},
		{"README.MD", without(all, "README.md", "readme.md"), all},
		{"src/", without(all, "src"), nil},
		{"/foo.py", without(all, "foo.py"), nil},
		{"src/../foo.py", without(all, "foo.py"), nil},
		{"*.py", without(all, "foo.py"), nil},
		{"Dockerfile\n.dockerignore", all, without(all, "Dockerfile")},
		{"src\n!src/deep/x.py", append(without(all, "src"), "src/deep/x.py"), nil},
		{"foo.py # c", all, nil},
		{`\foo.py`, all, nil},
		{"# only a comment\n\n  ", all, nil},
	} {
		if err := os.WriteFile(ignore, []byte(v.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if v.docker == nil {
			v.docker = v.py
		}
		for matcher, want := range map[string][]string{resolve.MatcherDockerPy: v.py, resolve.MatcherDocker: v.docker} {
			slices.Sort(want)
			got := taken(t, resolve.FileOptions{Root: dir, Matcher: matcher})
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s reads %q: %s", matcher, v.text, d)
			}
		}
	}
}

func TestDirectoriesThatLeadToSomethingGoIn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".dockerignore": "*\n!a/b/c.py", "a/b/c.py": "", "a/x": ""})
	set, err := resolve.Files(t.Context(), resolve.FileOptions{Root: dir, DropIgnore: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "a/b", "a/b/c.py"}, set.Paths); d != "" {
		t.Error(d)
	}
}

func TestWhySaysWhichLineDecided(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".dockerignore": "# first\n*.txt\n!keep.txt\n", "keep.txt": "", "no.txt": "", "run.py": "", ".zen/c": ""})
	set, err := resolve.Files(t.Context(), resolve.FileOptions{Root: dir, DropIgnore: true})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]resolve.Decision{
		"keep.txt": {Path: "keep.txt", Included: true, Pattern: "!keep.txt", File: ".dockerignore", Line: 3},
		"no.txt":   {Path: "no.txt", Pattern: "*.txt", File: ".dockerignore", Line: 2},
		"./run.py": {Path: "run.py", Included: true},
		".zen/c":   {Path: ".zen/c", Included: true, Pattern: "!/.zen", Note: "ZenML's repository always goes in"},
	} {
		got, err := set.Why(p)
		if err != nil || got != want {
			t.Errorf("Why(%q) = %+v, %v", p, got, err)
		}
	}
	for _, p := range []string{"missing", "../x", "/etc/passwd"} {
		if _, err := set.Why(p); err == nil {
			t.Errorf("Why(%q) knows", p)
		}
	}
}

func TestSecretsAreRefusedAndNeverPrinted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".git/config": "[remote \"origin\"]\n\turl = https://me:hunter2@example.com/x.git\n", "keys/id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n",
		"public.pem": "-----BEGIN CERTIFICATE-----\n", "run.py": "",
	})
	_, err := resolve.Files(t.Context(), resolve.FileOptions{Root: dir})
	var secret *secrets.Error
	if !errors.As(err, &secret) || len(secret.Found) != 2 || secret.Found[0] != (secrets.Finding{Path: ".git/config", Line: 2, What: "a URL with a password"}) {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error()+secret.Hint(), "hunter2") {
		t.Errorf("the secret is in %q", err)
	}
	if _, err := resolve.Files(t.Context(), resolve.FileOptions{Root: dir, Allow: []string{".git/config", "keys"}}); err != nil {
		t.Errorf("what is allowed was refused: %v", err)
	}
}

func TestWhatIsSeldomWantedIsWarnedOf(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{".git/HEAD": "x", ".venv/pyvenv.cfg": "", ".venv/lib/x": "y", ".env": "A=1", "run.py": ""})
	set, err := resolve.Files(t.Context(), resolve.FileOptions{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(set.Warnings, "\n")
	for _, want := range []string{".git goes in", ".venv goes in", ".env goes in"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning says %q: %s", want, all)
		}
	}
}

func TestTheSourceRootIsFoundAsZenMLFindsIt(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"repo/.zen/c": "", "repo/a/b/": "", "other/": "", "file/.zen": ""})
	at := func(p string) string { return filepath.Join(dir, p) }
	for _, c := range []struct {
		start, want string
		env         map[string]string
	}{
		{"repo/a/b", "repo", nil},
		{"other", "other", nil},
		{"file", "file", nil},
		{"other", "repo", map[string]string{"ZENML_REPOSITORY_PATH": at("repo")}},
		{"repo/a", "other", map[string]string{"ZENML_CUSTOM_SOURCE_ROOT": "../../other"}},
		{"repo", "", map[string]string{"ZENML_REPOSITORY_PATH": at("other")}},
		{"missing", "", nil},
	} {
		got, err := resolve.SourceRoot(at(c.start), "", c.env)
		if c.want == "" {
			if err == nil {
				t.Errorf("from %s: got %s", c.start, got)
			}
			continue
		}
		if err != nil || got != at(c.want) {
			t.Errorf("from %s: got %s, %v; want %s", c.start, got, err, c.want)
		}
	}
}

// FuzzMatching looks for names and patterns for which walking with pruning
// finds other files than asking of each one.
func FuzzMatching(f *testing.F) {
	f.Add("*\n!a/b", "a/b/c")
	f.Add("a\n!a/**/c", "a/b/c")
	f.Add("[z-a]\n!**", "a")
	f.Add("**/b\n!a", "a/b")
	f.Fuzz(func(t *testing.T, text, name string) {
		name = filepath.Clean(name)
		if !filepath.IsLocal(name) || strings.ContainsAny(name, "\x00\n") || len(name) > 100 || strings.HasPrefix(name, ".") || len(text) > 200 {
			t.Skip()
		}
		dir := t.TempDir()
		if os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755) != nil || os.WriteFile(filepath.Join(dir, name), nil, 0o644) != nil {
			t.Skip()
		}
		write(t, dir, map[string]string{".dockerignore": text})
		set, err := resolve.Files(t.Context(), resolve.FileOptions{Root: dir})
		if err != nil {
			t.Skip()
		}
		d, err := set.Why(name)
		if err != nil {
			t.Fatal(err)
		}
		excluded := d.Pattern != "" && !strings.HasPrefix(d.Pattern, "!")
		if d.Included == excluded {
			t.Errorf("with %q: included %v, decided by %q", text, d.Included, d.Pattern)
		}
	})
}

func TestWhatTheBuildReadsAndWritesStaysOut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"run.py": "", "stack.yaml": newStack, "out/image.tar": "x", "out/keep": "", "layout/index.json": "{}"})
	o := resolve.Options{
		Dir: dir, ZenML: "0.98.0", Python: "3.11", Stack: filepath.Join(dir, "stack.yaml"),
		Outputs: []string{filepath.Join(dir, "out/image.tar"), filepath.Join(dir, "layout"), filepath.Join(dir, "..", "elsewhere")},
	}
	set, err := resolve.Sources(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"out", "out/keep", "run.py"}, set.Paths); d != "" {
		t.Error(d)
	}
	if d, err := set.Why("stack.yaml"); err != nil || d.Included || d.Note != "a stack export can hold secrets" {
		t.Errorf("of the stack it is said %+v, %v", d, err)
	}
	o.AllowSecrets = []string{"stack.yaml"}
	if set, err = resolve.Sources(t.Context(), o); err != nil || !slices.Contains(set.Paths, "stack.yaml") {
		t.Errorf("what is allowed stays out: %v, %v", set.Paths, err)
	}
}
