package oci_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

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

// What a process left, in a cache or as a layer, is its project's: it may have
// been given anything by an index or a cache.
func TestWhatAProcessLeftIsItsProjects(t *testing.T) {
	base := runBase(t, usual()...)
	b, out := running(t, way{sandbox.ModeOverlay, ""}, map[string]string{"a": "x"})
	step := func(project string, steps ...plan.Step) *oci.Image {
		t.Helper()
		out.Reset()
		b.Project = project
		img, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}})
		if err != nil {
			t.Fatal(err, out.String())
		}
		return img
	}
	r := run("write", "/c/f")
	r.Mounts = []plan.Mount{{Type: plan.MountCache, Target: "/c", ID: "one"}}
	see := run("show", "/c")
	see.Mounts = r.Mounts
	files := plan.Copy{Files: []string{"a"}, Dest: "/src"}
	step("/evil", files, r, see)
	if got := out.String(); got != "drwxr-xr-x /c f\n" {
		t.Errorf("its own cache has %q", got)
	}
	other := step("/good", files, see)
	if got := out.String(); got != "drwxr-xr-x /c\n" || other.Ran != 1 {
		t.Errorf("another project's cache has %q, %d steps ran", got, other.Ran)
	}
	if !other.Steps[0].Cached {
		t.Error("files that are known make no layer of their own")
	}
	if again := step("/good", files, see); again.Ran != 0 || digest(t, again) != digest(t, other) {
		t.Errorf("again, %d steps ran", again.Ran)
	}
	if same := step("/evil", files, see); same.Ran != 1 || digest(t, same) != digest(t, other) {
		t.Errorf("in the other project, %d steps ran, and the image is another one", same.Ran)
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
	short, err := os.MkdirTemp("", "a") //nolint:usetesting // the name of a socket must be short
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
