package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// modes are those that work wherever user namespaces do.
func modes() []sandbox.Mode {
	return []sandbox.Mode{sandbox.ModeOverlay, sandbox.ModeTmpfs, sandbox.ModeCopy}
}

func TestWhatACommandChangesIsHandedToTheVerb(t *testing.T) {
	tree := base(t)
	for _, mode := range modes() {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, sandbox.Options{Mode: mode, Dir: dir})
			var out bytes.Buffer
			c := command(tree, "write", "/work/new")
			c.After = &sandbox.Call{Verb: "list", Out: &out}
			if err := s.Run(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "work/new") {
				t.Errorf("the verb saw %q", out.String())
			}
			if _, err := os.Stat(filepath.Join(tree, "fs/work/new")); err == nil {
				t.Error("the lower tree was changed")
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestOutputStatusAndTail(t *testing.T) {
	s, tree := open(t, sandbox.Options{}), base(t)
	var out, errs bytes.Buffer
	c := command(tree, "fail")
	c.Stdout, c.Stderr = &out, &errs
	err := s.Run(t.Context(), c)
	var exit *sandbox.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Fatalf("got %v", err)
	}
	if !strings.HasPrefix(exit.Tail, "line 10\n") || !strings.HasSuffix(exit.Tail, "line 29") {
		t.Errorf("tail is %q", exit.Tail)
	}
	if !strings.Contains(errs.String(), "line 0\n") {
		t.Errorf("stderr is %q", errs.String())
	}
	c = command(tree, "x")
	c.Args = []string{"no-such-command"}
	if err := s.Run(t.Context(), c); !errors.As(err, &exit) || exit.Code != 127 || !strings.Contains(exit.Tail, "no-such-command") {
		t.Errorf("a command that is not there: %v, %+v", err, exit)
	}
}

func TestACommandThatLacksIDsIsKnown(t *testing.T) {
	tree := base(t)
	one, all := open(t, sandbox.Options{IDs: sandbox.IDsSingle}), open(t, sandbox.Options{})
	for text, want := range map[string]bool{
		"su: cannot set group id: Invalid argument":                                            true,
		`error: failed switching to "nobody": invalid argument`:                                true,
		"su-exec: setgid(65534): Operation not permitted":                                      true,
		"chroot: failed to set group-ID: Invalid argument":                                     true,
		"start-stop-daemon: unable to set gid to 33 (Invalid argument)":                        true,
		`sudo: The "no new privileges" flag is set, which prevents sudo from running as root.`: true,
		"E: seteuid 100 failed - seteuid (22: Invalid argument)":                               true,
		"mount: /mnt: operation not permitted":                                                 false,
		"tar: invalid argument":                                                                false,
	} {
		c := command(tree, "complain", text)
		var exit *sandbox.ExitError
		if err := one.Run(t.Context(), c); !errors.As(err, &exit) || exit.IDs != want {
			t.Errorf("%s: %v, %+v", text, err, exit)
		}
		if os.Geteuid() != 0 {
			continue
		}
		if err := all.Run(t.Context(), c); !errors.As(err, &exit) || exit.IDs {
			t.Errorf("%s, with all ids: %v, %+v", text, err, exit)
		}
	}
}

// What whoever started kanso left open is not for a command: it may be a
// directory of the machine.
func TestDescriptorsThatAreOpenStayOutside(t *testing.T) {
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	fd, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD, 200)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, mode := range modes() {
		t.Run(string(mode), func(t *testing.T) {
			s, tree := open(t, sandbox.Options{Mode: mode}), base(t)
			var out bytes.Buffer
			c := command(tree, "descriptor", strconv.Itoa(fd))
			c.Stdout = &out
			if err := s.Run(t.Context(), c); err != nil || out.String() != unix.EBADF.Error()+"\n" {
				t.Errorf("descriptor %d: %q, %v", fd, out.String(), err)
			}
		})
	}
}

func TestTheCommandSeesItsOwnWorldOnly(t *testing.T) {
	s, tree := open(t, sandbox.Options{}), base(t)
	run := func(args ...string) string {
		var out bytes.Buffer
		c := command(tree, args...)
		c.Stdout = &out
		if err := s.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	t.Setenv("KANSO_SECRET", "leak")
	if got := run("env"); got != "PATH=/bin:/\nA=1\n" {
		t.Errorf("environment is %q", got)
	}
	if got := strings.NewReplacer("lib\n", "", "lib64\n", "").Replace(run("ls", "/")); got != "dev\netc\nlower\nproc\nprog\nsys\nwork\n" {
		t.Errorf("root has %q", got)
	}
	if got := run("ls", "/proc"); strings.Count(got, "\n") == 0 {
		t.Error("there is no /proc")
	}
	if got := run("ls", "/dev"); !strings.Contains(got, "null\n") || strings.Contains(got, "sda") {
		t.Errorf("/dev has %q", got)
	}
}

func TestMountsAreLentAndLeaveNothing(t *testing.T) {
	s, tree := open(t, sandbox.Options{}), base(t)
	lent := t.TempDir()
	if err := os.WriteFile(filepath.Join(lent, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := command(tree, "ls", "/run/lent")
	c.Mounts = []sandbox.Mount{{Source: lent, Target: "/run/lent", ReadOnly: true}}
	c.Stdout = &out
	if err := s.Run(t.Context(), c); err != nil || out.String() != "f\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	c.Args = []string{"prog", "write", "/run/lent/x"}
	if err := s.Run(t.Context(), c); err == nil {
		t.Error("what is lent read-only was written to")
	}
	c.Mounts[0].ReadOnly = false
	if err := s.Run(t.Context(), c); err != nil {
		t.Errorf("what is lent could not be written to: %v", err)
	}
}

func TestOwnersAreRecordedWithOneID(t *testing.T) {
	s, tree := open(t, sandbox.Options{IDs: sandbox.IDsSingle}), base(t)
	var out bytes.Buffer
	c := command(tree, "chown")
	c.After = &sandbox.Call{Verb: "list", Out: &out}
	if err := s.Run(t.Context(), c); err != nil {
		var exit *sandbox.ExitError
		if errors.As(err, &exit) {
			t.Log(exit.Tail)
		}
		t.Fatal(err)
	}
	for _, want := range []string{"file 33:34:0644", "dir 0:7:0755", "dir/rel 10:11:0644", `"link":{"uid":5,"gid":6}`, `"named":{"uid":12,"gid":13}`, `"lower":{"uid":14,"gid":15}`, "L--------- lower"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	s, tree := open(t, sandbox.Options{}), base(t)
	var out bytes.Buffer
	c := command(tree, "orphan")
	c.Stdout = &out
	if err := s.Run(t.Context(), c); err != nil { // Run waits for the output's end
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	r, w := io.Pipe()
	c = command(tree, "sleep")
	c.Stdout = w
	go func() {
		buf := make([]byte, 1)
		_, _ = r.Read(buf)
		cancel(why)
		_, _ = io.Copy(io.Discard, r)
	}()
	if err := s.Run(ctx, c); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	w.Close()
}

func TestTheMachinesKernelCannotBeSet(t *testing.T) {
	s, tree := open(t, sandbox.Options{}), base(t)
	for _, file := range []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/mm/ksm/run"} {
		c := command(tree, "open", file)
		if err := s.Run(t.Context(), c); err == nil {
			t.Errorf("%s could be opened for writing", file)
		}
	}
}

func TestAChrootEndsWithItsContext(t *testing.T) {
	if os.Geteuid() != 0 {
		if _, err := sandbox.Open(t.Context(), sandbox.Options{Dir: t.TempDir(), Mode: sandbox.ModeChroot}); !errors.Is(err, sandbox.ErrUnavailable) {
			t.Errorf("without privileges: %v", err)
		}
		return
	}
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeChroot}), base(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	r, w := io.Pipe()
	c := command(tree, "sleep")
	c.Stdout = w
	go func() {
		_, _ = r.Read(make([]byte, 1))
		cancel(why)
		_, _ = io.Copy(io.Discard, r)
	}()
	if err := s.Run(ctx, c); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	w.Close()
}

func TestVerbsRunWithoutACommand(t *testing.T) {
	s := open(t, sandbox.Options{})
	var out bytes.Buffer
	big := strings.Repeat("0123456789", 1<<18)
	if err := s.Call(t.Context(), sandbox.Call{Verb: "copy", In: strings.NewReader(big), Out: &out}); err != nil || out.String() != big {
		t.Errorf("%d bytes came back, %v", out.Len(), err)
	}
	if err := s.Call(t.Context(), sandbox.Call{Verb: "fail"}); err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("got %v", err)
	}
}

func TestChangesCanStayAsATree(t *testing.T) {
	dir := t.TempDir()
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeOverlay, Dir: dir}), base(t)
	keep := filepath.Join(dir, "kept")
	if err := os.Mkdir(keep, 0o700); err != nil {
		t.Fatal(err)
	}
	c := command(tree, "write", "/work/new")
	c.After, c.Keep = &sandbox.Call{Verb: "list"}, keep
	if err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c = command(tree, "ls", "/work")
	c.Lowers, c.Stdout = []string{keep, tree}, &out
	if err := s.Run(t.Context(), c); err != nil || out.String() != "new\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestNoNetworkMeansLoopbackOnly(t *testing.T) {
	s, tree := open(t, sandbox.Options{}), base(t)
	var out bytes.Buffer
	c := command(tree, "ls", "/proc/self/net/dev_snmp6")
	c.Network, c.Stdout = "none", &out
	if err := s.Run(t.Context(), c); err != nil || out.String() != "lo\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestAReportNamesEveryMode(t *testing.T) {
	r, err := sandbox.Probe(t.Context(), sandbox.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[sandbox.Mode]bool{}
	for _, m := range r.Modes {
		seen[m.Mode] = true
		if !m.OK && m.Why == "" {
			t.Errorf("%s with %s does not work, and nothing says why", m.Mode, m.IDs)
		}
	}
	if len(seen) != 5 || r.Mode == "" {
		t.Errorf("got %+v", r)
	}
}

// TestDirectoriesMayHaveAnyName has one with all that separates mount options.
func TestDirectoriesMayHaveAnyName(t *testing.T) {
	tree := base(t)
	for _, mode := range modes() {
		t.Run(string(mode), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), `a,b:c\d e=f"g'`)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c := command(tree, "fail")
			var exit *sandbox.ExitError
			if err := open(t, sandbox.Options{Mode: mode, Dir: dir}).Run(t.Context(), c); !errors.As(err, &exit) || exit.Code != 3 {
				t.Errorf("got %v", err)
			}
		})
	}
}
