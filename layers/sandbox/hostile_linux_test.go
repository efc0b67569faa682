package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// hostile is what a hostile setup.py would do: it prints, one a line, everything
// that it could reach and should not. Its arguments are a directory of the
// machine with a file in it, the text that stands there and in the environment of
// the machine's processes, and such a process.
func hostile(dir, planted, victim string) {
	if _, err := os.Stat(dir); err == nil {
		fmt.Println("sees a directory of the machine")
	}
	pid, _ := strconv.Atoi(victim)
	_ = filepath.WalkDir("/", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what cannot be read is not reached
		case p == "/sys", p == "/proc", p == "/prog":
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			reads(p, planted)
		}
		return nil
	})
	self := strconv.Itoa(os.Getpid())
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || e.Name() == self {
			continue
		}
		for _, name := range []string{"environ", "root/" + dir + "/file", "cwd/file"} {
			reads("/proc/"+e.Name()+"/"+name, planted)
		}
		fds, _ := os.ReadDir("/proc/" + e.Name() + "/fd")
		for _, fd := range fds {
			reads("/proc/"+e.Name()+"/fd/"+fd.Name()+"/"+dir+"/file", planted)
		}
	}
	for _, e := range os.Environ() {
		if strings.Contains(e, planted) {
			fmt.Println("has the machine's environment")
		}
	}
	if err := unix.PtraceAttach(pid); err == nil {
		fmt.Println("traces a process of the machine")
	}
	var word uint64
	local := unix.Iovec{Base: (*byte)(unsafe.Pointer(&word)), Len: 8}
	remote := unix.RemoteIovec{Base: 0x400000, Len: 8}
	if _, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0); err == nil {
		fmt.Println("reads a process of the machine")
	}
	if err := unix.Mount("none", "/work", "tmpfs", 0, ""); err == nil {
		fmt.Println("mounts")
	}
}

func reads(file, planted string) {
	info, err := os.Stat(file)
	if err == nil && info.Mode().IsRegular() && info.Size() < 1<<20 {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte(planted)) {
			fmt.Println("reads", file)
		}
	}
}

// daemon leaves a process behind as daemons do: in a session of its own, and the
// child of nobody that is there.
func daemon(depth string) error {
	n, _ := strconv.Atoi(depth)
	args := []string{"/prog", "daemon", strconv.Itoa(n - 1)}
	if n == 0 {
		args = []string{"/prog", "sleep"}
	}
	p, err := os.StartProcess("/prog", args, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &unix.SysProcAttr{Setsid: true}})
	if err != nil {
		return err
	}
	if n < 0 {
		return nil
	}
	return p.Release()
}

// calls tries system calls that are refused, and prints which were not.
func calls() {
	try := func(name string, want unix.Errno, nr uintptr, a ...uintptr) {
		var args [6]uintptr
		copy(args[:], a)
		if _, _, errno := unix.Syscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5]); errno != want {
			fmt.Printf("%s: %v\n", name, errno)
		}
	}
	const bad = ^uintptr(0)
	// Without the filter each of these ends otherwise: with success, or with an
	// error about its arguments.
	try("unshare", unix.EPERM, unix.SYS_UNSHARE, 0)
	try("unshare users", unix.EPERM, unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	try("clone users", unix.EPERM, unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
	try("clone3", unix.ENOSYS, unix.SYS_CLONE3, 0, 0)
	try("setns", unix.EPERM, unix.SYS_SETNS, bad, 0)
	try("mount", unix.EPERM, unix.SYS_MOUNT, bad, bad, bad, 0, 0)
	try("umount", unix.EPERM, unix.SYS_UMOUNT2, bad, 0)
	try("fsopen", unix.EPERM, unix.SYS_FSOPEN, bad, 0)
	try("open_tree", unix.EPERM, unix.SYS_OPEN_TREE, bad, bad, 0)
	try("keyctl", unix.EPERM, unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, bad-1, 0)
	try("add_key", unix.EPERM, unix.SYS_ADD_KEY, bad, bad, 0, 0, 0)
	try("request_key", unix.EPERM, unix.SYS_REQUEST_KEY, bad, bad, 0, 0)
	try("bpf", unix.EPERM, unix.SYS_BPF, 1000, 0, 0)
	try("perf_event_open", unix.EPERM, unix.SYS_PERF_EVENT_OPEN, bad, 0, 0, 0, 0)
	try("userfaultfd", unix.EPERM, unix.SYS_USERFAULTFD, bad)
	try("io_uring_setup", unix.ENOSYS, unix.SYS_IO_URING_SETUP, 0, 0)
	try("io_uring_enter", unix.ENOSYS, unix.SYS_IO_URING_ENTER, bad, 0)
	try("open_by_handle_at", unix.EPERM, unix.SYS_OPEN_BY_HANDLE_AT, bad, bad, 0)
	try("typing into a terminal", unix.EPERM, unix.SYS_IOCTL, bad, unix.TIOCSTI, 0)
	try("typing, with a high bit", unix.EPERM, unix.SYS_IOCTL, bad, 1<<32|unix.TIOCSTI, 0)
	try("another ioctl", unix.EBADF, unix.SYS_IOCTL, bad, unix.TCGETS, 0)
	try("sockets of machines", unix.EPERM, unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	try("personality", unix.EPERM, unix.SYS_PERSONALITY, 0x40000)
	try("a personality that all have", 0, unix.SYS_PERSONALITY, 0xffffffff)
	try("a call of the future", unix.ENOSYS, 5000)
	try("a call of another kind", unix.ENOSYS, 0x40000000|unix.SYS_GETPID)
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); name == "NoNewPrivs" || name == "Seccomp" {
			fmt.Printf("%s %s\n", name, strings.TrimSpace(value))
		}
	}
}

// A worldly is a way in which commands are run here.
type worldly struct {
	mode sandbox.Mode
	ids  sandbox.IDs
}

// worlds are all that work for who runs the tests, or with -short that of the
// first mode. A chroot shares the machine's processes and is tested by itself.
func worlds() map[string]worldly {
	all, among := map[string]worldly{}, modes()
	if testing.Short() {
		among = among[:1]
	}
	for _, m := range among {
		all[string(m)] = worldly{m, ""}
		if os.Geteuid() == 0 {
			all[string(m)+" with one id"] = worldly{m, sandbox.IDsSingle}
		}
	}
	return all
}

// said is what a command printed, without what the race detector says where
// there is no /proc.
func said(out bytes.Buffer) string {
	return regexp.MustCompile(`(?m)^==\d+==WARNING: reading executable name failed .*\n`).ReplaceAllString(out.String(), "")
}

// victim is a process of the machine, with the text in its environment, and ends
// with the test.
func victim(t *testing.T, planted string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: exe, Args: []string{"prog", "sleep"}, Env: []string{"KANSO_PLANTED=" + planted}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestAHostileCommandReachesNothingOfTheMachine(t *testing.T) {
	planted := "planted-" + strconv.Itoa(os.Getpid())
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(planted), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KANSO_PLANTED", planted)
	all := worlds()
	if os.Geteuid() == 0 {
		all["chroot"] = worldly{sandbox.ModeChroot, ""}
	}
	for world, w := range all {
		t.Run(world, func(t *testing.T) {
			other := victim(t, planted)
			s, tree := open(t, sandbox.Options{Mode: w.mode, IDs: w.ids}), base(t)
			before := mounts(t)
			for _, foreign := range []bool{false, true} {
				var out bytes.Buffer
				c := command(tree, "hostile", dir, planted, strconv.Itoa(other.Process.Pid))
				c.Foreign, c.Stdout, c.Stderr = foreign, &out, &out
				if err := s.Run(t.Context(), c); err != nil || said(out) != "" {
					t.Errorf("it said %q, %v", said(out), err)
				}
			}
			if after := mounts(t); after != before {
				t.Errorf("something is mounted:\n%s\nbefore:\n%s", after, before)
			}
			if err := other.Process.Signal(unix.Signal(0)); err != nil {
				t.Errorf("the other process: %v", err)
			}
		})
	}
}

// mounts are the machine's.
func mounts(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A process of the machine is not there for a command, so it cannot be ended,
// nor can all be.
func TestAHostileCommandEndsNothingOfTheMachine(t *testing.T) {
	for world, w := range worlds() {
		t.Run(world, func(t *testing.T) {
			other := victim(t, "x")
			s, tree := open(t, sandbox.Options{Mode: w.mode, IDs: w.ids}), base(t)
			for _, who := range []string{strconv.Itoa(other.Process.Pid), "-1", "0"} {
				var exit *sandbox.ExitError
				if err := s.Run(t.Context(), command(tree, "kill", who)); err != nil && !errors.As(err, &exit) {
					t.Errorf("kill %s: %v", who, err)
				}
			}
			if err := other.Process.Signal(unix.Signal(0)); err != nil {
				t.Errorf("the other process: %v", err)
			}
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", other.Process.Pid)); err != nil || strings.Contains(string(state), ") Z ") {
				t.Errorf("the other process is %q, %v", state, err)
			}
		})
	}
}

// A command that is somebody else has rights taken from it for its time; a link in
// the place of a directory does not lead whoever gives them back to the machine's.
func TestRightsAreGivenBackWithinTheRoot(t *testing.T) {
	was := unix.Umask(0o022) // the copy is made by this program, and the command is not its owner
	t.Cleanup(func() { unix.Umask(was) })
	s, tree := open(t, sandbox.Options{Mode: sandbox.ModeCopy, IDs: sandbox.IDsSingle}), base(t)
	if err := os.Mkdir(filepath.Join(tree, "fs/work/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	sub := filepath.Join(outside, "sub")
	if err := errors.Join(os.Mkdir(sub, 0o755), os.Chmod(sub, 0o555)); err != nil { // as the command sees its own
		t.Fatal(err)
	}
	c := command(tree, "swap", "/work", outside)
	c.UID, c.GID = 7, 7
	if err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(sub); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("a directory of the machine has the mode %v, %v", info.Mode(), err)
	}
}

func TestDaemonsEndWithTheCommand(t *testing.T) {
	all := worlds()
	if os.Geteuid() == 0 {
		all["chroot"] = worldly{sandbox.ModeChroot, ""}
	}
	for world, w := range all {
		t.Run(world, func(t *testing.T) {
			s, tree := open(t, sandbox.Options{Mode: w.mode, IDs: w.ids}), base(t)
			var out bytes.Buffer
			c := command(tree, "daemon", "3")
			c.Stdout, c.Stderr = &out, &out
			if err := s.Run(t.Context(), c); err != nil { // Run waits for the output's end
				t.Fatal(err, out.String())
			}
		})
	}
}

func TestSystemCallsAreRefused(t *testing.T) {
	all := worlds()
	if os.Geteuid() == 0 {
		all["chroot"] = worldly{sandbox.ModeChroot, ""}
	}
	for world, w := range all {
		t.Run(world, func(t *testing.T) {
			s, tree := open(t, sandbox.Options{Mode: w.mode, IDs: w.ids}), base(t)
			for _, foreign := range []bool{false, true} {
				var out bytes.Buffer
				c := command(tree, "calls")
				c.Foreign, c.Stdout, c.Stderr = foreign, &out, &out
				if err := s.Run(t.Context(), c); err != nil {
					t.Fatal(err, out.String())
				}
				one := w.ids == sandbox.IDsSingle || os.Geteuid() != 0
				want := "NoNewPrivs 1\nSeccomp 2\n"
				if foreign && !one {
					want = "NoNewPrivs 0\nSeccomp 2\n" // as in Docker, where sudo works
				}
				if w.mode == sandbox.ModeChroot {
					want = "" // it has no /proc
				}
				if got := said(out); got != want {
					t.Errorf("foreign %v: it said %q, want %q", foreign, got, want)
				}
			}
		})
	}
}
