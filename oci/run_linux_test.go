package oci_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// TestMain is also the sandbox's own process and, as /prog, the one program that
// the test images have.
func TestMain(m *testing.M) {
	if code, child := sandbox.Main(os.Args, verbs()); child {
		os.Exit(code)
	}
	if filepath.Base(os.Args[0]) == "pip" {
		os.Args = append([]string{"prog"}, os.Args...)
	}
	if filepath.Base(os.Args[0]) == "prog" {
		if err := programs()[os.Args[1]](os.Args[2:]...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A way is one in which commands can be run here.
type way struct {
	mode sandbox.Mode
	ids  sandbox.IDs
}

// ways are all that work for who runs the tests; in short mode, which the race
// detector has, the usual one: an instrumented program says in a changed root that
// it does not find itself.
func ways() map[string]way {
	if testing.Short() {
		return map[string]way{"overlay": {sandbox.ModeOverlay, ""}}
	}
	all := map[string]way{
		"overlay": {sandbox.ModeOverlay, ""}, "tmpfs": {sandbox.ModeTmpfs, ""}, "copy": {sandbox.ModeCopy, ""},
	}
	if os.Geteuid() == 0 {
		all["chroot"] = way{sandbox.ModeChroot, ""}
		for _, m := range []sandbox.Mode{sandbox.ModeOverlay, sandbox.ModeTmpfs, sandbox.ModeCopy} {
			all[string(m)+" with one id"] = way{m, sandbox.IDsSingle}
		}
	}
	return all
}

// running returns a builder that runs commands for real. What they print goes to
// the buffer.
func running(t *testing.T, w way, files map[string]string) (*oci.Builder, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { _ = layers.RemoveAll(dir) })
	store, err := cache.Open(dir, cache.Options{Remove: func(_ context.Context, dir string) error { return layers.RemoveAll(dir) }})
	if err != nil {
		t.Fatal(err)
	}
	b, out := builder(t, files), &bytes.Buffer{}
	b.Store, b.Output = store, out
	box, err := sandbox.Open(t.Context(), sandbox.Options{Dir: store.Scratch(), Mode: w.mode, IDs: w.ids, Exe: plain()})
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return box, nil }
	return b, out
}

// plain is this program without the race detector, if KANSO_TEST_PLAIN names a
// directory that has it, or nothing: what is started for each command is not
// what is looked for races in, and starts ten times as fast.
func plain() string {
	if dir := os.Getenv("KANSO_TEST_PLAIN"); dir != "" {
		return filepath.Join(dir, "oci.test")
	}
	return ""
}

// program is a layer with the test binary as /prog.
var program = sync.OnceValues(func() (v1.Layer, error) {
	exe, err := plain(), error(nil)
	if exe == "" {
		exe, err = os.Executable()
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	err = layers.Write(context.Background(), &buf, func(yield func(layers.File, error) bool) {
		yield(file("prog", string(data), 0o755), nil)
		for _, name := range libraries(exe) {
			if data, err = os.ReadFile(name); err == nil {
				yield(file(strings.TrimPrefix(name, "/"), string(data), 0o755), nil)
			}
		}
	})
	return tarballOf(buf.Bytes(), err)
})

// libraries are what a test binary that is linked dynamically, as with the race
// detector, needs to start.
func libraries(exe string) []string {
	out, err := exec.CommandContext(context.Background(), "ldd", exe).Output()
	if err != nil {
		return nil // it is not
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(w string) bool { return !strings.HasPrefix(w, "/") })
}

func tarballOf(data []byte, err error) (v1.Layer, error) {
	if err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}

// runBase is a base with /prog and files.
func runBase(t *testing.T, files ...layers.File) string {
	t.Helper()
	prog, err := program()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, prog, layerOf(t, files...))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture, cfg.Config.Env = "linux", "amd64", []string{"PATH=/bin:/", "A=1"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	ref := "oci:" + filepath.Join(t.TempDir(), "base") + ":latest"
	out, err := oci.ParseOutput(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := oci.WriteArchive(t.Context(), out, img, "base:latest"); err != nil {
		t.Fatal(err)
	}
	return ref
}

// usual are what most images have.
func usual() []layers.File {
	d := func(p string, mode fs.FileMode) layers.File { return layers.File{Path: p, Mode: fs.ModeDir | mode} }
	return []layers.File{
		d("etc", 0o755), d("proc", 0o755), d("sys", 0o755), d("dev", 0o755), d("tmp", 0o777|fs.ModeSticky),
		file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n", 0o644),
		file("etc/group", "root:x:0:\napp:x:1001:\nmore:x:2000:app\n", 0o644),
	}
}

func run(args ...string) plan.Run { return plan.Run{Args: append([]string{"prog"}, args...)} }

// The environment is the image's, what the plan adds and what every process has.
func TestAUsersCommandSeesNothingOfOurs(t *testing.T) {
	base := runBase(t, usual()...)
	b, out := running(t, way{}, nil)
	b.Mounts = []sandbox.Mount{{Source: os.TempDir(), Target: "/lent"}}
	r := run("env")
	r.Vars = []plan.Var{{Name: "A", Value: "2"}, {Name: "ARG", Value: "x"}}
	r.Mounts = []plan.Mount{{Type: plan.MountSecret, ID: "none", Env: "NONE"}, {Type: plan.MountSSH, Target: "/agent"}}
	who := run("who")
	who.Dir = "/made/for/it"
	look := run("show", "/lent", "/dev/stdin")
	build(t, b, base, r, who, look)
	want := "PATH=/bin:/\nA=2\nARG=x\nHOME=/root\nSSH_AUTH_SOCK=/agent\nNONE=\n0 0 true /made/for/it buildkitsandbox\nnothing /lent\n"
	if got := out.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUsersAreThoseOfTheImage(t *testing.T) {
	base := runBase(t, usual()...)
	for name, w := range ways() {
		if w.mode == sandbox.ModeTmpfs || w.mode == sandbox.ModeCopy || testing.Short() {
			continue // ids are as in the overlay, and nothing is side by side
		}
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			for user, want := range map[string]string{
				"": "0 0", "app": "1000 1001", "1000": "1000 1001", "app:more": "1000 2000", "77": "77 0", "77:88": "77 88", "0": "0 0", "root:5": "0 5",
			} {
				out.Reset()
				r := run("who")
				r.User, r.Dir = user, "/work"
				img := build(t, b, base, r)
				if got := out.String(); !strings.HasPrefix(got, want+" true /work ") {
					t.Errorf("user %q is %q", user, got)
				}
				if got := owners(t, img, 2); got != "work "+strings.ReplaceAll(want, " ", ":") {
					t.Errorf("user %q: the working directory is %s", user, got)
				}
			}
			r := run("who")
			r.User = "nobody"
			if _, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}}); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
				t.Errorf("a user that is not there: %v", err)
			}
		})
	}
}

// owners lists paths and owners of the layers above some.
func owners(t *testing.T, img *oci.Image, below int) string {
	t.Helper()
	var lines []string
	for _, l := range entriesOf(t, img, below) {
		lines = append(lines, fmt.Sprintf("%s %d:%d", l.Path, l.UID, l.GID))
	}
	return strings.Join(lines, "\n")
}

func entriesOf(t *testing.T, img *oci.Image, below int) []layers.Entry {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []layers.Entry
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
		all = append(all, list.Entries...)
	}
	return all
}

func TestAUserMayNotWhatItMayNot(t *testing.T) {
	base := runBase(t, append(usual(),
		layers.File{Path: "home/app", Mode: fs.ModeDir | 0o700, UID: 1000, GID: 1001}, layers.File{Path: "team", Mode: fs.ModeDir | 0o770, GID: 2000},
		file("etc/secret", "s", 0o600), layers.File{Path: "root", Mode: fs.ModeDir | 0o700},
	)...)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			steps := []plan.Step{plan.Set{User: "app"}}
			for _, args := range [][]string{
				{"refused", "/etc/x"}, {"refused", "/root/x"}, {"unreadable", "/etc/secret"}, {"write", "/home/app/f", "/team/f", "/tmp/f"},
			} {
				steps = append(steps, run(args...))
			}
			img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}})
			if err != nil {
				t.Fatal(err, out)
			}
			want := []string{
				"5 0755 0:0 home/", "5 0700 1000:1001 home/app/", "0 0644 1000:1001 home/app/f 7", "5 0770 0:2000 team/", "0 0644 1000:1001 team/f 7",
				"5 1777 0:0 tmp/", "0 0644 1000:1001 tmp/f 7",
			}
			got := headers(t, img, 2)
			slices.Sort(want)
			slices.Sort(got)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOwnersAreShownAsTheyAre(t *testing.T) {
	base := runBase(t, append(usual(), layers.File{Path: "mine", Mode: 0o644, UID: 3, GID: 4}, layers.File{Path: "link", Mode: fs.ModeSymlink | 0o777, Link: "mine", UID: 5, GID: 6})...)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			r := run("owners", "/mine", "/link", "/etc", "/made", "/token")
			r.Mounts = []plan.Mount{{Type: plan.MountSecret, ID: "token", Target: "/token", UID: 7, GID: 8}}
			b.Secrets = map[string]string{"token": filepath.Join(b.Context, "token")}
			if err := os.WriteFile(b.Secrets["token"], nil, 0o600); err != nil {
				t.Fatal(err)
			}
			build(t, b, base, plan.Write{Files: []plan.File{{Path: "/made", Mode: 0o600}}, Owner: "9:10"}, r)
			if d := cmp.Diff("/mine 3:4\n/link 5:6\n/etc 0:0\n/made 9:10\n/token 7:8\n", out.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLimitsAreSetOrRefused(t *testing.T) {
	base := runBase(t, usual()...)
	b, out := running(t, way{}, nil)
	r := run("limit")
	r.Ulimits = []plan.Ulimit{{Name: "fsize", Soft: 1 << 30, Hard: 1 << 31}}
	build(t, b, base, r)
	if out.String() != "1073741824 2147483648\n" {
		t.Errorf("the limits are %s", out)
	}
	for name, l := range map[string]plan.Ulimit{
		"ulimit nofile=1099511627776:1099511627776: the hard limit is ": {Name: "nofile", Soft: 1 << 40, Hard: 1 << 40},
		"ulimit files: there is no such limit":                          {Name: "files"},
	} {
		r.Ulimits = []plan.Ulimit{l}
		if _, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFailureSaysWhatFailedAndHow(t *testing.T) {
	b, out := running(t, way{}, nil)
	p := plan.Plan{Stages: []plan.Stage{{Base: runBase(t, usual()...), Steps: []plan.Step{run("fail")}, Lines: []string{"Dockerfile:7"}}}}
	_, err := b.Build(t.Context(), p)
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 || exit.Tail != "what went wrong" || !strings.HasPrefix(err.Error(), "Dockerfile:7: RUN prog fail: ") {
		t.Errorf("got %v, output %s", err, out)
	}
}
