package oci_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// everything lists the files below a directory, as package resolve would.
func everything(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, p); err == nil && rel != "." {
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// copies is a step that copies patterns of the whole context.
func copies(t *testing.T, b *oci.Builder, dest string, patterns ...string) plan.Copy {
	return plan.Copy{Patterns: patterns, Files: everything(t, b.Context), Dest: dest, Modes: plan.ModesDisk}
}

// merged is the tree that the layers above the base's make, a line per entry
// with its owner.
func merged(t *testing.T, img *oci.Image, below int) []string {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var lists []layers.Listing
	for _, l := range ls[below:] {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		list, err := layers.List(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		lists = append(lists, list)
	}
	var lines []string
	for _, e := range layers.NewView(lists).Below("/") {
		line := e.Mode.String() + " " + e.Path
		if e.UID != 0 || e.GID != 0 {
			line += " " + string(rune('0'+e.UID%10)) + ":" + string(rune('0'+e.GID%10))
		}
		if e.Link != "" {
			line += " -> " + e.Link
		}
		lines = append(lines, line)
	}
	return lines
}

// image is what copies are tested on: a merged /usr, a link, a file, a
// directory of somebody's.
func image(t *testing.T) string {
	return baseOn(t, "made", layers.File{Path: "usr", Mode: fs.ModeDir | 0o755}, layers.File{Path: "usr/bin", Mode: fs.ModeDir | 0o755},
		layers.File{Path: "bin", Mode: fs.ModeSymlink | 0o777, Link: "usr/bin"},
		layers.File{Path: "theirs", Mode: fs.ModeDir | 0o700, UID: 3, GID: 4}, layers.File{Path: "theirs/sub", Mode: fs.ModeDir | 0o700, UID: 3, GID: 4},
		layers.File{Path: "dangling", Mode: fs.ModeSymlink | 0o777, Link: "/new/place"}, file("file", "old", 0o644),
		layers.File{Path: "etc", Mode: fs.ModeDir | 0o755}, file("etc/passwd", "app:x:5:6::/:/bin/sh\n", 0o644), file("etc/group", "staff:x:7:\n", 0o644))
}

func TestCopiesArePlacedAsBuildKitPlacesThem(t *testing.T) {
	context := map[string]string{"a.txt": "a", "b.txt": "b", "[x]": "x", "d/one": "1", "d/sub/two": "2", "d/sub/deep/three": "3"}
	tests := []struct {
		name string
		step func(t *testing.T, b *oci.Builder) plan.Copy
		want []string
		err  string
	}{
		{name: "a file as a file", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x/y", "a.txt") },
			want: []string{"drwxr-xr-x x", "-rw------- x/y"}},
		{name: "a file into a directory", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x/", "a.txt") },
			want: []string{"drwxr-xr-x x", "-rw------- x/a.txt"}},
		{name: "a file into a directory of the image", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/theirs", "a.txt") },
			want: []string{"drwx------ theirs 3:4", "-rw------- theirs/a.txt"}},
		{name: "one match of a pattern as a file", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x", "a*") },
			want: []string{"-rw------- x"}},
		{name: "a pattern that matches nothing, and one that does", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x/", "nothing*", "b.*") },
			want: []string{"drwxr-xr-x x", "-rw------- x/b.txt"}},
		{name: "an escaped bracket", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x/", "[[]x]") },
			want: []string{"drwxr-xr-x x", "-rw------- x/[x]"}},
		{name: "the contents of a directory", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x", "d") },
			want: []string{"drwxr-xr-x x", "-rw------- x/one", "drwx------ x/sub", "drwx------ x/sub/deep", "-rw------- x/sub/deep/three", "-rw------- x/sub/two"}},
		{name: "merged into a directory of the image", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/theirs", "d")
			c.Exclude, c.Owner = []string{"sub/deep", "one"}, "8:9"
			return c
		}, want: []string{"drwx------ theirs 3:4", "drwx------ theirs/sub 8:9", "-rw------- theirs/sub/two 8:9"}},
		{name: "parents from the pivot on", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x/", "d/./sub/*", "./a.txt")
			c.Parents = true
			return c
		}, want: []string{"drwxr-xr-x x", "-rw------- x/a.txt", "drwx------ x/sub", "drwx------ x/sub/deep", "-rw------- x/sub/deep/three", "-rw------- x/sub/two"}},
		{name: "exceptions of excludes", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x/", "d")
			c.Exclude = []string{"sub", "!sub/deep"}
			return c
		}, want: []string{"drwxr-xr-x x", "-rw------- x/one", "drwx------ x/sub", "drwx------ x/sub/deep", "-rw------- x/sub/deep/three"}},
		{name: "octal modes, and of parents", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x/y/", "a.txt")
			c.Chmod = "4705"
			return c
		}, want: []string{"drwx---r-x x", "drwx---r-x x/y", "urwx---r-x x/y/a.txt"}},
		{name: "symbolic modes", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x/", "d")
			c.Chmod, c.Exclude = "go=rX", []string{"sub/*"}
			return c
		}, want: []string{"drwxr-xr-x x", "-rw-r--r-- x/one", "drwxr-xr-x x/sub"}},
		{name: "an owner by name", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x/", "a.txt")
			c.Owner = "app:staff"
			return c
		}, want: []string{"drwxr-xr-x x 5:7", "-rw------- x/a.txt 5:7"}},
		{name: "an owner's own group", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x", "a.txt")
			c.Owner = "app:"
			return c
		}, want: []string{"-rw------- x 5:6"}},
		{name: "an unknown owner is root", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x", "a.txt")
			c.Owner = "nobody:staff"
			return c
		}, want: []string{"-rw------- x 0:7"}},
		{name: "below a link of the image", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/bin/x", "a.txt") },
			want: []string{"drwxr-xr-x usr", "drwxr-xr-x usr/bin", "-rw------- usr/bin/x"}},
		{name: "into what a link of the image names", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/bin", "a.txt") },
			want: []string{"drwxr-xr-x usr", "drwxr-xr-x usr/bin", "-rw------- usr/bin/a.txt"}},
		{name: "below a link that leads nowhere yet", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/dangling/", "a.txt") },
			want: []string{"drwxr-xr-x new", "drwxr-xr-x new/place", "-rw------- new/place/a.txt"}},
		{name: "linked, without a look", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/bin/x", "a.txt")
			c.Link = true
			return c
		}, want: []string{"drwxr-xr-x bin", "-rw------- bin/x"}},
		{name: "a file of the image is replaced", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/file", "a.txt") },
			want: []string{"-rw------- file"}},
		{name: "here-documents", step: func(*testing.T, *oci.Builder) plan.Copy {
			return plan.Copy{From: plan.Source{Inline: []plan.File{{Path: "one", Mode: 0o644, Data: "1"}, {Path: "two", Mode: 0o644, Data: "2"}}}, Patterns: []string{"one", "two"}, Dest: "/x/", Chmod: "0751"}
		}, want: []string{"drwxr-x--x x", "-rwxr-x--x x/one", "-rwxr-x--x x/two"}},
		{name: "what is not there", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/x", "none") }, err: `"/none": not found`},
		{name: "parents of what is not there", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x/", "d/none")
			c.Parents = true
			return c
		}, err: `"/d/none": not found`},
		{name: "a directory over a file", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/file", "d") }, err: "cannot copy to non-directory: /file"},
		{name: "a directory over a link", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			write(t, b.Context, "root/bin/f", "x")
			return copies(t, b, "/", "root")
		}, err: "cannot copy to non-directory: /bin"},
		{name: "a file over a directory", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			write(t, b.Context, "root/theirs", "x")
			return copies(t, b, "/", "root")
		}, err: "cannot replace to directory /theirs with file"},
		{name: "a file as a directory on the way", step: func(t *testing.T, b *oci.Builder) plan.Copy { return copies(t, b, "/file/x", "a.txt") }, err: "/file: not a directory"},
		{name: "a mode that is none", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			c := copies(t, b, "/x", "a.txt")
			c.Chmod = "10000"
			return c
		}, err: "between 0 and 07777"},
		{name: "an archive of no format", step: func(t *testing.T, b *oci.Builder) plan.Copy {
			write(t, b.Context, "no.tar", strings.Repeat("text", 500))
			c := copies(t, b, "/x/", "no.tar")
			c.Unpack = plan.UnpackLocal
			return c
		}, want: []string{"drwxr-xr-x x", "-rw------- x/no.tar"}},
	}
	base := image(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := builder(t, context)
			img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{tt.step(t, b)}}}})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, merged(t, img, 1)); d != "" {
				t.Error(d)
			}
		})
	}
}

// write writes a file of a context.
func write(t *testing.T, dir, name, content string) {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// link makes a symbolic link of a context.
func link(t *testing.T, dir, name, to string) {
	t.Helper()
	if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestLinksInAContextAreFollowedAtTheEndOfAPatternAndKeptBelow(t *testing.T) {
	b := builder(t, map[string]string{"d/f": "x"})
	link(t, b.Context, "tofile", "d/f")
	link(t, b.Context, "todir", "/d")
	link(t, b.Context, "d/inside", "f")
	img := build(t, b, oci.Scratch, copies(t, b, "/x/", "tofile", "todir", "todir/f"))
	want := []string{"drwxr-xr-x x", "-rw------- x/f", "Lrwxrwxrwx x/inside -> f", "-rw------- x/tofile"}
	if d := cmp.Diff(want, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
}

func TestHardLinksOfAContextStayOneFile(t *testing.T) {
	b := builder(t, map[string]string{"d/b": "x"})
	if err := os.Link(filepath.Join(b.Context, "d/b"), filepath.Join(b.Context, "d/a")); err != nil {
		t.Fatal(err)
	}
	img := build(t, b, oci.Scratch, copies(t, b, "/x", "d"))
	if d := cmp.Diff([]string{"drwxr-xr-x x", "-rw------- x/a", "-rw------- x/b -> x/a"}, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
	// One of the names is replaced by the same step.
	write(t, b.Context, "other/a", "y")
	img = build(t, b, oci.Scratch, copies(t, b, "/x/", "d", "other"))
	want := [][]string{{"drwxr-xr-x x", "-rw------- x/a y", "-rw------- x/b x"}}
	if d := cmp.Diff(want, contents(t, img, 0)); d != "" {
		t.Error(d)
	}
}

func TestDirectoriesThatOnlyExceptionsReachKeepTheirMode(t *testing.T) {
	b := builder(t, map[string]string{"d/sub/f": "x"})
	for name, mode := range map[string]fs.FileMode{"d": 0o711, "d/sub": 0o750} {
		if err := os.Chmod(filepath.Join(b.Context, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	img := build(t, b, oci.Scratch, plan.Copy{Patterns: []string{"."}, Files: []string{"d/sub/f"}, Dest: "/", Modes: plan.ModesDisk})
	if d := cmp.Diff([]string{"drwx--x--x d", "drwxr-x--- d/sub", "-rw------- d/sub/f"}, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
}

func TestWorkingDirectoriesAreMadeThroughLinks(t *testing.T) {
	b := builder(t, nil)
	dir := func(p string) plan.Write {
		return plan.Write{Missing: true, Owner: "5:6", Files: []plan.File{{Path: p, Mode: fs.ModeDir | 0o755}}}
	}
	img := build(t, b, image(t), dir("/dangling/a/b"), dir("/theirs"), dir("/bin/x"), dir("/dangling/a"))
	want := []string{"drwxr-xr-x new 5:6", "drwxr-xr-x new/place 5:6", "drwxr-xr-x new/place/a 5:6", "drwxr-xr-x new/place/a/b 5:6",
		"drwxr-xr-x usr", "drwxr-xr-x usr/bin", "drwxr-xr-x usr/bin/x 5:6"}
	if d := cmp.Diff(want, merged(t, img, 1)); d != "" {
		t.Error(d)
	}
	if _, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: image(t), Steps: []plan.Step{dir("/file")}}}}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("got %v", err)
	}
}

func TestACopySeesWhatAnEarlierStepLeft(t *testing.T) {
	b := builder(t, map[string]string{"a": "1"})
	steps := []plan.Step{
		plan.Copy{From: plan.Source{Inline: []plan.File{{Path: "passwd", Mode: 0o644, Data: "new:x:8:9::/:\n"}}}, Patterns: []string{"passwd"}, Dest: "/etc/"},
		plan.Write{Missing: true, Files: []plan.File{{Path: "/made", Mode: fs.ModeDir | 0o700}}},
		plan.Copy{Patterns: []string{"a"}, Files: []string{"a"}, Dest: "/made", Modes: plan.ModesDisk, Owner: "new:"},
	}
	img := build(t, b, image(t), steps...)
	want := []string{"drwxr-xr-x etc", "-rw-r--r-- etc/passwd", "drwx------ made", "-rw------- made/a 8:9"}
	if d := cmp.Diff(want, merged(t, img, 1)); d != "" {
		t.Error(d)
	}
	other := builder(t, map[string]string{"a": "1"})
	reports, err := other.Explain(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: image(t), Steps: steps}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range reports {
		if r.Key != img.Steps[i].Key {
			t.Errorf("step %d is explained with another key", i+1)
		}
	}
}
