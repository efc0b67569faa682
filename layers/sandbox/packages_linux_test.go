package sandbox_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// packed is a command with a package cache at /run/p, and where it is kept.
func packed(t *testing.T, tree string, args ...string) (c sandbox.Command, source, linked string) {
	t.Helper()
	source, linked = t.TempDir(), t.TempDir()
	c = command(tree, args...)
	c.Mounts = []sandbox.Mount{{Kind: sandbox.MountPackages, Source: source, Target: "/run/p", Linked: linked, Vars: []string{"A=linked"}}}
	return c, source, linked
}

func content(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func missing(file string) bool {
	_, err := os.Lstat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// Files of an image are links to those of a cache that began empty, and no command
// writes to these.
func TestPackagesAreLinkedAndNeverWrittenTo(t *testing.T) {
	dir := t.TempDir()
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay, Dir: dir}), base(t)
	c, _, linked := packed(t, tree, "unpack", "/run/p/d/a", "/work/a")
	keep := filepath.Join(dir, "kept")
	if err := os.Mkdir(keep, 0o700); err != nil {
		t.Fatal(err)
	}
	var changes bytes.Buffer
	c.After, c.Keep = &sandbox.Call{Verb: "list", Out: &changes}, keep
	if err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := changes.String(); !strings.Contains(got, "work/a") || strings.Contains(got, "run/p/") || strings.Contains(got, "packages") {
		t.Errorf("changed is %q", got)
	}
	a, b := filepath.Join(keep, "fs/work/a"), filepath.Join(linked, "fs/d/a")
	x, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := os.Stat(b); err != nil || !os.SameFile(x, y) {
		t.Fatalf("what is kept is another file than that of the tree: %v", err)
	}

	c.Lowers, c.After, c.Keep = []string{keep, tree}, nil, ""
	for _, step := range []struct {
		args []string
		want func() bool
	}{
		{[]string{"write", "/run/p/d/a"}, func() bool { return content(t, b) == "x" }},
		{[]string{"write", "/run/p/d/b"}, func() bool { return content(t, filepath.Join(linked, "fs/d/b")) == "x" && content(t, b) == "x" }},
		{[]string{"remove", "/run/p/d/a"}, func() bool { return missing(b) && !missing(filepath.Join(linked, "fs/d/b")) }},
		{[]string{"renew", "/run/p/d"}, func() bool {
			return missing(filepath.Join(linked, "fs/d/b")) && !missing(filepath.Join(linked, "fs/d/new"))
		}},
		{[]string{"replace", "/run/p/d", "nowhere"}, func() bool {
			to, err := os.Readlink(filepath.Join(linked, "fs/d"))
			return err == nil && to == "nowhere"
		}},
		{[]string{"renew", "/run/p/d"}, func() bool { return !missing(filepath.Join(linked, "fs/d/new")) }},
		{[]string{"write", "/run/p/e"}, func() bool { return content(t, filepath.Join(linked, "fs/e")) == "x" }},
		{[]string{"renew", "/run/p/e"}, func() bool { return !missing(filepath.Join(linked, "fs/e/new")) }},
	} {
		c.Args = append([]string{"prog"}, step.args...)
		if err := s.Run(t.Context(), c); err != nil || !step.want() {
			t.Fatalf("%v: what is kept is not what was left: %v", step.args, err)
		}
		if got := content(t, a); got != "unpacked" {
			t.Fatalf("%v: the tree has %q", step.args, got)
		}
	}
}

// What a command downloaded before it failed need not be downloaded again.
func TestPackagesAreKeptOfACommandThatFailed(t *testing.T) {
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay}), base(t)
	c, _, linked := packed(t, tree, "unpack", "/run/p/a", "/nowhere/a")
	var exit *sandbox.ExitError
	if err := s.Run(t.Context(), c); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(linked, "fs/a")); got != "unpacked" {
		t.Errorf("kept is %q", got)
	}
}

// A command is told that it can link only where it can.
func TestWhereFilesCanBeLinked(t *testing.T) {
	for mode, can := range map[sandbox.Mode]bool{sandbox.ModeOverlay: true, sandbox.ModeTmpfs: false, sandbox.ModeCopy: false} {
		t.Run(string(mode), func(t *testing.T) {
			s, tree := open(t, sandbox.Options{Mode: mode}), base(t)
			c, source, linked := packed(t, tree, "write", "/run/p/x")
			want := []string{filepath.Join(linked, "fs/x"), filepath.Join(source, "x")}
			if !can {
				want[0], want[1] = want[1], want[0]
			}
			for range 2 {
				if err := s.Run(t.Context(), c); err != nil || missing(want[0]) || !missing(want[1]) {
					t.Errorf("not kept where it is to be: %v", err)
				}
			}
			c, _, _ = packed(t, tree, "env")
			for i := range 2 {
				var out bytes.Buffer
				c.Stdout = &out
				if err := s.Run(t.Context(), c); err != nil || strings.Contains(out.String(), "A=linked\n") != (can && i == 0) || strings.Count(out.String(), "A=") != 1 {
					t.Errorf("run %d: the environment is %q, %v", i, out.String(), err)
				}
			}
		})
	}
}

// A command that puts a link on the way to its cache has it lead nowhere.
func TestPackagesAreNotTakenFromTheMachine(t *testing.T) {
	outside := t.TempDir()
	file := filepath.Join(outside, "p/file")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay}), base(t)
	for _, to := range []string{outside, strings.Repeat("../", 40) + outside[1:]} {
		c, _, linked := packed(t, tree, "replace", "/run", to)
		if err := s.Run(t.Context(), c); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if missing(file) || !missing(filepath.Join(linked, "fs")) {
			t.Errorf("%s: a directory of the machine was taken for the cache", to)
		}
	}
}
