package oci_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
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
	if filepath.Base(os.Args[0]) == "prog" {
		if err := programs()[os.Args[1]](os.Args[2:]...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// verbs are those of the command line program.
func verbs() map[string]sandbox.Verb {
	return map[string]sandbox.Verb{
		"unpack": func(ctx context.Context, e sandbox.Env) error {
			var a oci.UnpackArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			z, err := layers.Decompress(e.In)
			if err != nil {
				return err
			}
			sum := sha256.New()
			list, err := layers.Unpack(ctx, io.TeeReader(z, sum), a.Dir, layers.UnpackOptions{Owners: a.Owners, Below: a.Below})
			if err != nil {
				return err
			}
			if _, err := io.Copy(sum, z); err != nil {
				return err
			}
			if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != a.DiffID {
				return fmt.Errorf("layer is %s, not %s", got, a.DiffID)
			}
			return json.NewEncoder(e.Out).Encode(list)
		},
		"capture": func(ctx context.Context, e sandbox.Env) error {
			var o layers.CaptureOptions
			if err := json.Unmarshal(e.Args, &o); err != nil {
				return err
			}
			c := *e.Changes
			return layers.Capture(ctx, e.Out, layers.Changes{
				Upper: c.Upper, Root: c.Root, Before: c.Before, Lowers: c.Lowers, Tables: c.Tables, ChownTable: c.ChownTable, Skip: c.Skip,
			}, o)
		},
		"merge": func(ctx context.Context, e sandbox.Env) error {
			var a sandbox.MergeArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			var roots []string
			for _, tree := range a.Lowers {
				roots = append(roots, layers.TreeFiles(tree))
			}
			return layers.Merge(ctx, roots, a.Dst, layers.Owners(a.Owners))
		},
		"snapshot": func(ctx context.Context, e sandbox.Env) error {
			var a sandbox.SnapshotArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			return layers.Snapshot(ctx, a.Root, a.File)
		},
		"remove": func(_ context.Context, e sandbox.Env) error {
			var a oci.RemoveArgs
			if err := json.Unmarshal(e.Args, &a); err != nil {
				return err
			}
			for _, p := range a.Paths {
				if err := layers.RemoveAll(p); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// programs are what commands of the test images do.
func programs() map[string]func(args ...string) error {
	return map[string]func(args ...string) error{
		"true": func(...string) error { return nil },
		"fail": func(...string) error { return errors.New("what went wrong") },
		"env": func(...string) error {
			fmt.Println(strings.Join(os.Environ(), "\n"))
			return nil
		},
		"who": func(...string) error {
			groups, err := os.Getgroups()
			dir, _ := os.Getwd()
			host, _ := os.Hostname()
			fmt.Println(os.Getuid(), os.Getgid(), slices.Contains(groups, os.Getgid()) || len(groups) == 0, dir, host)
			return err
		},
		// show prints what is at paths, look also of directories.
		"show": func(args ...string) error {
			for _, p := range args {
				if err := showFile(p); err != nil {
					return err
				}
			}
			return nil
		},
		"write": func(args ...string) error {
			for _, p := range args {
				if err := os.WriteFile(p, []byte("written"), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		"refused": func(args ...string) error {
			if err := os.WriteFile(args[0], nil, 0o644); err == nil {
				return fmt.Errorf("%s could be written to", args[0])
			}
			return nil
		},
		"ask": func(args ...string) error {
			c, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
			if err != nil {
				return err
			}
			defer c.Close()
			fmt.Fprintln(c, args[0])
			answer, err := bufio.NewReader(c).ReadString('\n')
			fmt.Print(answer)
			return err
		},
	}
}

func showFile(p string) error {
	info, err := os.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("nothing", p)
		return nil
	}
	if err != nil {
		return err
	}
	line := info.Mode().String() + " " + p
	switch {
	case info.IsDir():
		entries, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		for _, e := range entries {
			line += " " + e.Name()
		}
	case info.Mode().IsRegular():
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		line += " " + string(data)
	}
	fmt.Println(line)
	return nil
}

// A way is one in which commands can be run here.
type way struct {
	mode sandbox.Mode
	ids  sandbox.IDs
}

// ways are all that work for who runs the tests.
func ways() map[string]way {
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
	box, err := sandbox.Open(t.Context(), sandbox.Options{Dir: store.Scratch(), Mode: w.mode, IDs: w.ids})
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return box, nil }
	return b, out
}

// program is a layer with the test binary as /prog.
var program = sync.OnceValues(func() (v1.Layer, error) { //nolint:gochecknoglobals // made once for all tests
	exe, err := os.Executable()
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
func usual(more ...layers.File) []layers.File {
	d := func(p string, mode fs.FileMode) layers.File { return layers.File{Path: p, Mode: fs.ModeDir | mode} }
	return append([]layers.File{
		d("etc", 0o755), d("proc", 0o755), d("sys", 0o755), d("dev", 0o755), d("tmp", 0o777|fs.ModeSticky),
		file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n", 0o644),
		file("etc/group", "root:x:0:\napp:x:1001:\nmore:x:2000:app\n", 0o644),
	}, more...)
}

func run(args ...string) plan.Run { return plan.Run{Args: append([]string{"prog"}, args...)} }

func TestACommandSeesWhatIsMounted(t *testing.T) {
	base := runBase(t, usual()...)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, map[string]string{"src/a": "in a", "src/b": "in b", "other": "x"})
			secret := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(secret, []byte("psst"), 0o600); err != nil {
				t.Fatal(err)
			}
			b.Secrets = map[string]string{"token": secret}
			more := t.TempDir()
			if err := os.WriteFile(filepath.Join(more, "f"), []byte("of more"), 0o600); err != nil {
				t.Fatal(err)
			}
			b.Contexts = map[string]string{"more": more}
			step := run("show", "/ro", "/ro/a", "/one", "/stage/made", "/image/etc", "/more/f", "/mem", "/run/secrets/token", "/dev/pipes/script", "/etc/hosts")
			step.Mounts = []plan.Mount{
				{Type: plan.MountBind, Target: "/ro", Path: "/src", Files: []string{"src", "src/a"}, ReadOnly: true},
				{Type: plan.MountBind, Target: "/one", Path: "src/b", Files: []string{"src/b"}},
				{Type: plan.MountBind, Target: "/stage", From: plan.Source{Stage: "first"}, Path: "/dir", ReadOnly: true},
				{Type: plan.MountBind, Target: "/image", From: plan.Source{Image: base}},
				{Type: plan.MountBind, Target: "/more", From: plan.Source{Context: "more"}, Files: []string{"f"}},
				{Type: plan.MountTmpfs, Target: "/mem", Size: 1 << 20},
				{Type: plan.MountSecret, Target: "/run/secrets/token", ID: "token", Env: "TOKEN", Required: true, Mode: 0o440},
				{Type: plan.MountSecret, Target: "/not/there", ID: "none"},
			}
			step.Lent = []plan.File{{Path: "/dev/pipes/script", Mode: 0o755, Data: "#!/prog"}}
			step.Hosts = []string{"far=192.0.2.1"}
			p := plan.Plan{Stages: []plan.Stage{
				{Name: "first", Base: base, Steps: []plan.Step{plan.Write{Files: []plan.File{{Path: "/dir/made", Mode: 0o640, Data: "by first"}}}}},
				{Base: base, Steps: []plan.Step{step}},
			}}
			img, err := b.Build(t.Context(), p)
			if err != nil {
				t.Fatal(err, out.String())
			}
			got, hosts, _ := strings.Cut(strings.ReplaceAll(out.String(), "[stage 2] ", ""), "-rw-r--r-- /etc/hosts ")
			want := "drwx------ /ro a\n-rw------- /ro/a in a\n-rw------- /one in b\n-rw-r----- /stage/made by first\ndrwxr-xr-x /image/etc group passwd\n" +
				"-rw------- /more/f of more\ndtrwxrwxrwx /mem\n-r--r----- /run/secrets/token psst\n-rwxr-xr-x /dev/pipes/script #!/prog\n"
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if !strings.HasPrefix(hosts, "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n192.0.2.1\tfar\n") {
				t.Errorf("hosts are %q", hosts)
			}
			if d := cmp.Diff([][]string{nil}, contents(t, img, 2)); d != "" {
				t.Errorf("the layer has something in it: %s", d)
			}
			if found := find(t, b, "psst"); found != "" {
				t.Errorf("the secret is in %s", found)
			}
		})
	}
}

// find returns a file of the builder's store that has text in it.
func find(t *testing.T, b *oci.Builder, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(b.Store.Scratch()), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "prog" {
			return err
		}
		data, err := os.ReadFile(p)
		if bytes.Contains(data, []byte(text)) {
			found = p
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWhatIsWrittenIntoMountsIsThrownAway(t *testing.T) {
	base := runBase(t, usual()...)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, map[string]string{"src/a": "in a"})
			step := run("write", "/rw/a", "/rw/new", "/stage/new", "/mem/f", "/stage/etc/passwd", "/kept")
			step.Mounts = []plan.Mount{
				{Type: plan.MountBind, Target: "/rw", Path: "src", Files: []string{"src", "src/a"}},
				{Type: plan.MountBind, Target: "/stage", From: plan.Source{Image: base}},
				{Type: plan.MountTmpfs, Target: "/mem"},
			}
			img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{step, run("show", "/etc/passwd")}}}})
			if err != nil {
				t.Fatal(err, out.String())
			}
			if d := cmp.Diff([][]string{{"-rw-r--r-- kept written"}, nil}, contents(t, img, 2)); d != "" {
				t.Error(d)
			}
			if !strings.Contains(out.String(), "root:x:0") {
				t.Errorf("a mounted image was changed: %s", out)
			}
			if data, err := os.ReadFile(filepath.Join(b.Context, "src/a")); err != nil || string(data) != "in a" {
				t.Errorf("the context has %q, %v", data, err)
			}
		})
	}
}

func TestCachesLastFromBuildToBuild(t *testing.T) {
	base := runBase(t, usual()...)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			b.NoCache = true
			step := func(id string, args ...string) *oci.Image {
				t.Helper()
				out.Reset()
				r := run(args...)
				r.Mounts = []plan.Mount{
					{Type: plan.MountCache, Target: "/c", ID: id, Mode: 0o750, UID: 0},
					{Type: plan.MountCache, Target: "/etc", ID: "etc-" + id, From: plan.Source{Image: base}, Path: "/etc", Sharing: plan.SharingLocked},
				}
				img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}})
				if err != nil {
					t.Fatal(err, out.String())
				}
				return img
			}
			img := step("one", "write", "/c/f", "/etc/new")
			if d := cmp.Diff([][]string{nil}, contents(t, img, 2)); d != "" {
				t.Errorf("the cache is in the layer: %s", d)
			}
			step("one", "show", "/c", "/c/f", "/etc")
			if got := out.String(); got != "drwxr-x--- /c f\n-rw-r--r-- /c/f written\ndrwxr-xr-x /etc group hosts new passwd resolv.conf\n" &&
				got != "drwxr-x--- /c f\n-rw-r--r-- /c/f written\ndrwxr-xr-x /etc group new passwd\n" {
				t.Errorf("the next build sees %q", got)
			}
			step("two", "show", "/c")
			if got := out.String(); got != "drwxr-x--- /c\n" {
				t.Errorf("another cache has %q", got)
			}
		})
	}
}

func TestMountsThatAreReadOnlyAreRefusedWrites(t *testing.T) {
	base := runBase(t, usual()...)
	for name, w := range ways() {
		if w.mode == sandbox.ModeChroot {
			continue // there it does not count, as its documentation says
		}
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, map[string]string{"a": ""})
			for i, m := range []plan.Mount{
				{Type: plan.MountBind, Files: []string{"a"}},
				{Type: plan.MountBind, From: plan.Source{Image: base}},
				{Type: plan.MountCache}, {Type: plan.MountTmpfs},
			} {
				m.Target, m.ReadOnly = "/m", true
				r := run("refused", "/m/x")
				r.Mounts = []plan.Mount{m}
				if _, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}}); err != nil {
					t.Errorf("mount %d: %v %s", i, err, out)
				}
			}
		})
	}
}

func TestAnAgentIsReachedThroughItsSocket(t *testing.T) {
	base := runBase(t, usual()...)
	short, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	l, err := net.Listen("unix", filepath.Join(short, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			fmt.Fprint(c, "agent heard "+line)
			c.Close()
		}
	}()
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			b, out := running(t, w, nil)
			b.Agents = map[string]string{"default": filepath.Join(short, "s")}
			r := run("ask", "hello")
			r.User = "app"
			r.Mounts = []plan.Mount{{Type: plan.MountSSH, Target: "/run/buildkit/ssh_agent.0", Required: true, UID: 1000, Mode: 0o600}}
			img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}})
			if err != nil {
				t.Fatal(err, out)
			}
			if out.String() != "agent heard hello\n" {
				t.Errorf("got %q", out)
			}
			if d := cmp.Diff([][]string{nil}, contents(t, img, 2)); d != "" {
				t.Errorf("the layer has something in it: %s", d)
			}
			r.Mounts[0].ID = "unknown" // it is part of the key
			_, err = b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}})
			if err == nil || !strings.Contains(err.Error(), `ssh agent "unknown" is required and was not given`) {
				t.Errorf("an agent that nobody gave: %v", err)
			}
		})
	}
}

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
		if w.mode == sandbox.ModeTmpfs || w.mode == sandbox.ModeCopy {
			continue // ids are as in the overlay
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
