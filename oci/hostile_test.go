package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
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

// refused builds one step and wants an error.
func refused(t *testing.T, b *oci.Builder, base, want string, steps ...plan.Step) {
	t.Helper()
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

// secretDir is a directory outside of any context, with a secret in it.
func secretDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("host's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHostileLinkOutOfTheContextIsNotFollowed(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	out := secretDir(t)
	link(t, b.Context, "abs", filepath.Join(out, "secret"))
	up, err := filepath.Rel(b.Context, out)
	if err != nil {
		t.Fatal(err)
	}
	link(t, b.Context, "up", up)
	for _, pattern := range []string{"abs", "up", "up/secret", "up/s*"} {
		refused(t, b, oci.Scratch, "not found", copies(t, b, "/x/", pattern))
	}
}

func TestHostileLinkInTheNameOfAContextFile(t *testing.T) {
	b := builder(t, nil)
	link(t, b.Context, "d", secretDir(t))
	refused(t, b, oci.Scratch, "d/secret", plan.Copy{Patterns: []string{"."}, Files: []string{"d", "d/secret"}, Dest: "/x", Modes: plan.ModesDisk})
	inside := builder(t, map[string]string{"real/f": "x"})
	link(t, inside.Context, "d", "real")
	refused(t, inside, oci.Scratch, "d is not a directory", plan.Copy{Patterns: []string{"."}, Files: []string{"d", "d/f"}, Dest: "/x", Modes: plan.ModesDisk})
}

func TestHostileLinkInANamedContext(t *testing.T) {
	b := builder(t, nil)
	dir := t.TempDir()
	link(t, dir, "d", secretDir(t))
	b.Contexts = map[string]string{"extra": dir}
	step := plan.Copy{From: plan.Source{Context: "extra"}, Patterns: []string{"d/secret"}, Files: []string{"d"}, Dest: "/x", Modes: plan.ModesDisk}
	refused(t, b, oci.Scratch, "not found", step)
	step.Files = append(step.Files, "d/secret")
	refused(t, b, oci.Scratch, "d/secret", step)
}

func TestHostilePatternThatClimbsStaysInTheContext(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	if err := os.WriteFile(filepath.Join(filepath.Dir(b.Context), "above"), []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, b, oci.Scratch, `"/above": not found`, copies(t, b, "/x", "../above"))
	img := build(t, b, oci.Scratch, copies(t, b, "/x", "../../f"))
	if d := cmp.Diff([]string{"-rw------- x"}, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
	refused(t, b, oci.Scratch, "out of the context", plan.Copy{Patterns: []string{"."}, Files: []string{"../above"}, Dest: "/x"})
	refused(t, b, oci.Scratch, "out of the context", plan.Copy{Patterns: []string{"."}, Files: []string{"d/../../above"}, Dest: "/x"})
}

func TestHostileLinksInAStageStayInTheStage(t *testing.T) {
	b := builder(t, nil)
	out := secretDir(t)
	base := baseOn(t, "made", layers.File{Path: "abs", Mode: fs.ModeSymlink | 0o777, Link: out},
		layers.File{Path: "up", Mode: fs.ModeSymlink | 0o777, Link: strings.Repeat("../", 30) + "etc/passwd"},
		layers.File{Path: "etc", Mode: fs.ModeDir | 0o755}, file("etc/passwd", "the image's", 0o600),
		layers.File{Path: "loop", Mode: fs.ModeSymlink | 0o777, Link: "loop"})
	from := func(pattern string) plan.Copy {
		return plan.Copy{From: plan.Source{Image: base}, Patterns: []string{pattern}, Dest: "/x", Modes: plan.ModesDisk}
	}
	refused(t, b, oci.Scratch, "not found", from("abs/secret"))
	refused(t, b, oci.Scratch, "not found", from("abs"))
	refused(t, b, oci.Scratch, "too many links", from("loop/f"))
	refused(t, b, base, "too many links", plan.Copy{From: plan.Source{Image: base}, Patterns: []string{"/etc/passwd"}, Dest: "/loop/x", Modes: plan.ModesDisk})
	if d := cmp.Diff([][]string{{"-rw------- x the image's"}}, contents(t, build(t, b, oci.Scratch, from("up")), 0)); d != "" {
		t.Error(d)
	}
}

func TestHostileDestinationLinksStayInTheImage(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	out := secretDir(t)
	base := baseOn(t, "made", layers.File{Path: "app", Mode: fs.ModeSymlink | 0o777, Link: out}, layers.File{Path: "up", Mode: fs.ModeSymlink | 0o777, Link: "../../../../.."})
	inside := strings.TrimPrefix(filepath.ToSlash(out), "/")
	img := build(t, b, base, copies(t, b, "/app/", "f"), copies(t, b, "/up/g", "f"),
		plan.Write{Missing: true, Files: []plan.File{{Path: "/app/work", Mode: fs.ModeDir | 0o755}}})
	got := merged(t, img, 1)
	want := []string{"-rw------- " + inside + "/f", "drwxr-xr-x " + inside + "/work", "-rw------- g"}
	for _, line := range want {
		if !strings.Contains(strings.Join(got, "\n")+"\n", line+"\n") {
			t.Errorf("no %q in %q", line, got)
		}
	}
	names, err := os.ReadDir(out)
	if err != nil || len(names) != 1 {
		t.Errorf("the host's directory has %v, %v", names, err)
	}
}

func TestHostileNames(t *testing.T) {
	names := []string{"new\nline", "odd\xff\xfebyte", "a b", "-rf", "*?[", "quote'\"", "\x1b[31m"}
	files := map[string]string{}
	for _, n := range names {
		files["d/"+n] = n
	}
	b := builder(t, files)
	img := buildStages(t, b,
		plan.Stage{Name: "first", Base: oci.Scratch, Steps: []plan.Step{copies(t, b, "/d", "d")}},
		plan.Stage{Base: oci.Scratch, Steps: []plan.Step{copyFrom("first", "d", "/e")}},
	)
	again := builder(t, nil) // reads the layers' lists from what the first one kept
	again.Context, again.Store = b.Context, b.Store
	if a := buildStages(t, again,
		plan.Stage{Name: "first", Base: oci.Scratch, Steps: []plan.Step{copies(t, b, "/d", "d")}},
		plan.Stage{Base: oci.Scratch, Steps: []plan.Step{copyFrom("first", "d", "/e")}}); digest(t, a) != digest(t, img) {
		t.Error("names changed on their way through the cache")
	}
	got := strings.Join(contents(t, img, 0)[0], "\x00")
	for _, n := range names {
		if !strings.Contains(got, " e/"+n+" "+n) {
			t.Errorf("no %q in %q", n, got)
		}
	}
}

func TestHostileNameThatWouldDelete(t *testing.T) {
	b := builder(t, map[string]string{"d/.wh.passwd": "", "d/.wh..wh..opq": ""})
	refused(t, b, oci.Scratch, "would mean a deletion", copies(t, b, "/etc", "d"))
}

// changing changes a file of the context when the layer is about to be made.
type changing struct {
	change func()
	said   []string
}

func (c *changing) Step(string) {}
func (c *changing) Bytes(string, int64) (func(int64), func(error)) {
	return func(int64) {}, func(error) {}
}

func (c *changing) Note(msg string) {
	c.said = append(c.said, msg)
	if strings.HasPrefix(msg, "COPY") {
		c.change()
	}
}

func TestHostileContextThatChangesWhileItIsRead(t *testing.T) {
	out := filepath.Join(secretDir(t), "secret")
	for name, change := range map[string]func(file string) error{
		"longer":  func(f string) error { return os.WriteFile(f, []byte("xx"), 0o600) },
		"another": func(f string) error { return errors.Join(os.Remove(f), os.WriteFile(f, []byte("y"), 0o600)) },
		"a link":  func(f string) error { return errors.Join(os.Remove(f), os.Symlink(out, f)) },
		"swapped": func(f string) error {
			info, err := os.Stat(f)
			return errors.Join(err, os.WriteFile(f+"2", []byte("z"), 0o600), os.Chtimes(f+"2", info.ModTime(), info.ModTime()), os.Rename(f+"2", f))
		},
		"the same to look at": func(f string) error { // as within one tick of the clock
			info, err := os.Stat(f)
			return errors.Join(err, os.WriteFile(f, []byte("z"), 0o600), os.Chtimes(f, info.ModTime(), info.ModTime()))
		},
		"a secret": func(f string) error { return errors.Join(os.Remove(f), os.Link(out, f)) },
		"gone":     os.Remove,
	} {
		b := builder(t, map[string]string{"f": "x", "other": "y"})
		b.Progress = &changing{change: func() {
			if err := change(filepath.Join(b.Context, "f")); err != nil {
				t.Fatal(err)
			}
		}}
		_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: oci.Scratch, Steps: []plan.Step{copies(t, b, "/x/", "f", "other")}}}})
		if err == nil || name != "gone" && name != "a link" && !errors.Is(err, oci.ErrChanged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// archiveOf is a gzip tar of headers; a regular file's content is its Uname.
func archiveOf(t *testing.T, headers ...tar.Header) string {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, h := range headers {
		data := h.Uname
		h.Uname, h.Mode = "", max(h.Mode, 0o600)
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(data))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// added is a step that adds an archive.
func added(t *testing.T, b *oci.Builder, dest string) plan.Copy {
	c := copies(t, b, dest, "t")
	c.Unpack = plan.UnpackLocal
	return c
}

func TestHostileArchiveStaysBelowItsDestination(t *testing.T) {
	b := builder(t, map[string]string{"t": archiveOf(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "../up", Uname: "1"}, tar.Header{Typeflag: tar.TypeReg, Name: "/abs", Uname: "2"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc"}, tar.Header{Typeflag: tar.TypeDir, Name: "etc", Mode: 0o711},
		tar.Header{Typeflag: tar.TypeReg, Name: "l/planted", Uname: "3"}, tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "../../up"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "c", Linkname: "../../etc"}, tar.Header{Typeflag: tar.TypeReg, Name: "c/climbed", Uname: "4"},
	)})
	img := build(t, b, image(t), added(t, b, "/dst/"))
	want := []string{"drwxr-xr-x dst", "-rw------- dst/abs", "Lrwxrwxrwx dst/c -> ../../etc", "drwx--x--x dst/etc", "-rw------- dst/etc/climbed", "-rw------- dst/etc/planted", "-rw------- dst/hard", "Lrwxrwxrwx dst/l -> /etc", "-rw------- dst/up -> dst/hard"}
	if d := cmp.Diff(want, merged(t, img, 1)); d != "" {
		t.Error(d)
	}
}

func TestHostileArchiveThatLinksToTheImage(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"hard link":     {Typeflag: tar.TypeLink, Name: "hard", Linkname: "etc/passwd"},
		"hard link out": {Typeflag: tar.TypeLink, Name: "hard", Linkname: "../../../../etc/passwd"},
	} {
		b := builder(t, map[string]string{"t": archiveOf(t, h)})
		t.Log(name)
		refused(t, b, image(t), "does not have before", added(t, b, "/"))
	}
	b := builder(t, map[string]string{"t": archiveOf(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/none"}, tar.Header{Typeflag: tar.TypeReg, Name: "l/f"})})
	refused(t, b, image(t), "leads nowhere", added(t, b, "/dst"))
	b = builder(t, map[string]string{"t": archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "d/.wh.passwd"})})
	refused(t, b, image(t), "would mean a deletion", added(t, b, "/"))
}

func TestHostileArchiveThatIsABomb(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	b := builder(t, map[string]string{"t": archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Uname: zeros}, tar.Header{Typeflag: tar.TypeReg, Name: "b", Uname: zeros})})
	b.Max = layers.Limits{Bytes: 1 << 20}
	refused(t, b, oci.Scratch, "more than 1048576 bytes", added(t, b, "/"))
	b.Max = layers.Limits{Entries: 1}
	refused(t, b, oci.Scratch, "more than 1 entries", added(t, b, "/"))
	b.Max = layers.Limits{}
	build(t, b, oci.Scratch, added(t, b, "/"))
	b.Max = layers.Limits{Entries: 1} // also where it is known already what is in it
	refused(t, b, oci.Scratch, "more than 1", added(t, b, "/"))
}

func TestHostileArchiveWhoseHeaderLies(t *testing.T) {
	// 10 GB are announced in a few bytes: no disk is filled to find out.
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "big", Size: 10 << 30, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	b := builder(t, map[string]string{"t": buf.String()})
	refused(t, b, oci.Scratch, "more than 1073741824 bytes", added(t, b, "/"))
}

func TestHostilePipeInTheContextDoesNotBlock(t *testing.T) {
	b := builder(t, map[string]string{"f": "x"})
	if err := mkfifo(filepath.Join(b.Context, "pipe")); err != nil {
		t.Skip("no pipes here")
	}
	img := build(t, b, oci.Scratch, copies(t, b, "/x", "."))
	if d := cmp.Diff([]string{"drwxr-xr-x x", "-rw------- x/f", "prw------- x/pipe"}, merged(t, img, 0)); d != "" {
		t.Error(d)
	}
}
