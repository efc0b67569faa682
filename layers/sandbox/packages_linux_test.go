package sandbox_test

import (
	"bytes"
	"errors"
	"io"
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

// unpacked runs a command that links a file of its cache into the image. It returns
// the tree and the file there.
func unpacked(t *testing.T, s *sandbox.Sandbox, dir string, c sandbox.Command, linked string) (keep, inTree string) {
	t.Helper()
	keep = filepath.Join(dir, "kept")
	if err := os.Mkdir(keep, 0o700); err != nil {
		t.Fatal(err)
	}
	var changes bytes.Buffer
	c.Args = []string{"prog", "unpack", "/run/p/d/a", "/work/a"}
	c.After, c.Keep = &sandbox.Call{Verb: "list", Out: &changes}, keep
	if err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := changes.String(); !strings.Contains(got, "work/a") || strings.Contains(got, "run/p/") || strings.Contains(got, "packages") {
		t.Errorf("changed is %q", got)
	}
	inTree = filepath.Join(keep, "fs/work/a")
	x, err := os.Stat(inTree)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := os.Stat(filepath.Join(linked, "fs/d/a")); err != nil || !os.SameFile(x, y) {
		t.Fatalf("what is kept is another file than that of the tree: %v", err)
	}
	return keep, inTree
}

// Files of an image are links to those of a cache that began empty, and no later
// command changes these.
func TestPackagesAreLinkedAndNeverWrittenTo(t *testing.T) {
	for name, step := range map[string]struct {
		args []string
		want func(kept string) bool
	}{
		"written":  {[]string{"write", "/run/p/d/a"}, func(kept string) bool { return content(t, kept+"/d/a") == "x" }},
		"touched":  {[]string{"touch", "/run/p/d/a"}, func(kept string) bool { return content(t, kept+"/d/a") == "u" }},
		"beside":   {[]string{"write", "/run/p/d/b"}, func(kept string) bool { return content(t, kept+"/d/b") == "x" && content(t, kept+"/d/a") == "unpacked" }},
		"removed":  {[]string{"remove", "/run/p/d/a"}, func(kept string) bool { return missing(kept+"/d/a") && !missing(kept+"/d") }},
		"all gone": {[]string{"remove", "/run/p/d"}, func(kept string) bool { return missing(kept + "/d") }},
		"renewed":  {[]string{"renew", "/run/p/d"}, func(kept string) bool { return missing(kept+"/d/a") && !missing(kept+"/d/new") }},
		"a link":   {[]string{"replace", "/run/p/d", "nowhere"}, func(kept string) bool { to, err := os.Readlink(kept + "/d"); return err == nil && to == "nowhere" }},
		"a file":   {[]string{"renew", "/run/p/d/a"}, func(kept string) bool { return !missing(kept + "/d/a/new") }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay, Dir: dir}), base(t)
			c, _, linked := packed(t, tree, step.args...)
			keep, inTree := unpacked(t, s, dir, c, linked)
			was, err := os.Stat(inTree)
			if err != nil {
				t.Fatal(err)
			}
			c.Lowers = []string{keep, tree}
			if err := s.Run(t.Context(), c); err != nil || !step.want(filepath.Join(linked, "fs")) {
				t.Fatalf("what is kept is not what was left: %v", err)
			}
			if is, err := os.Stat(inTree); err != nil || content(t, inTree) != "unpacked" || is.Mode() != was.Mode() || !is.ModTime().Equal(was.ModTime()) {
				t.Errorf("the tree's file has changed: %v", err)
			}
		})
	}
}

// Where something was kept without links, or a command may not link, it stays so.
func TestPackagesThatAreThereAreUsed(t *testing.T) {
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay}), base(t)
	c, source, linked := packed(t, tree, "write", "/run/p/x")
	c.Mounts[0].Vars = nil
	if err := s.Run(t.Context(), c); err != nil || missing(filepath.Join(source, "x")) || !missing(filepath.Join(linked, "fs")) {
		t.Errorf("without links: %v", err)
	}
	c.Mounts[0].Vars = []string{"A=linked"}
	c.Args = []string{"prog", "write", "/run/p/y"}
	if err := s.Run(t.Context(), c); err != nil || missing(filepath.Join(source, "y")) || !missing(filepath.Join(linked, "fs")) {
		t.Errorf("with others' files: %v", err)
	}
	if err := os.RemoveAll(linked); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), c); err != nil {
		t.Errorf("without a place for links: %v", err)
	}
}

// Two commands that begin with nothing both keep what they have.
func TestPackagesOfTwoCommandsAreJoined(t *testing.T) {
	dir := t.TempDir()
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay, Dir: dir}), base(t)
	c, _, linked := packed(t, tree, "await", "/run/p/d/late")
	first := c
	in, end := io.Pipe()
	r, w := io.Pipe()
	c.Stdin, c.Stdout = in, w
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), c) }()
	if _, err := io.ReadFull(r, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	unpacked(t, s, dir, first, linked)
	end.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if content(t, filepath.Join(linked, "fs/d/a")) != "unpacked" || content(t, filepath.Join(linked, "fs/d/late")) != "x" {
		t.Error("one of them was lost")
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

// A command that puts a link on the way to its cache has it lead nowhere: where the
// cache is now is not known, so that it could be among the changes.
func TestPackagesAreNotTakenFromTheMachine(t *testing.T) {
	outside := t.TempDir()
	file := filepath.Join(outside, "p/file")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay}), base(t)
	for _, to := range []string{outside, strings.Repeat("../", 40) + outside[1:]} {
		c, _, linked := packed(t, tree, "replace", "/run", to)
		if err := s.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "keep packages") {
			t.Errorf("%s: %v", to, err)
		}
		if missing(file) || !missing(filepath.Join(linked, "fs")) {
			t.Errorf("%s: a directory of the machine was taken for the cache", to)
		}
	}
}
