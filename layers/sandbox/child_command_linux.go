package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The file descriptors that the command's process is started with.
const (
	fdSpec   = 3 // what to become, as JSON
	fdError  = 4 // why it could not
	fdSocket = 5 // for the recorder
)

// A spec is what the process that becomes the command is told.
type spec struct {
	Root      string
	Chroot    bool
	Args, Env []string
	Dir       string
	UID, GID  int
	Groups    []int
	One       bool // one id: changes of owner are recorded
	Stats     bool // and the owners that are noted are shown
	Ulimits   []Ulimit
	// NewPrivileges lets it gain some, and Alone says that all processes that it
	// sees are its own, see [guard].
	NewPrivileges, Alone bool
}

// nested says that the one id that there is must be that of an ordinary user:
// the command is in a user namespace of its own then.
func (s spec) nested() bool { return s.One && (s.UID != 0 || s.GID != 0) }

// exitNoCommand and exitNoExec are the codes that shells give for a command
// that is not there or cannot be started.
const (
	exitNoCommand = 127
	exitNoExec    = 126
)

// command runs the command and ends everything that it left running.
func (c *process) command(t *tree) (code int, err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("become the parent of orphans: %w", err)
	}
	r := c.job.Run
	s := spec{
		Root: t.root, Chroot: c.job.Mode == ModeChroot, Args: r.Args, Env: r.Env, Dir: r.Dir,
		UID: r.UID, GID: r.GID, Groups: r.Groups, One: c.job.One, Stats: r.Foreign, Ulimits: r.Ulimits,
		NewPrivileges: r.Foreign && !c.job.One, Alone: c.job.PidNS,
	}
	p, err := c.startCommand(s)
	if err != nil {
		return 0, err
	}
	var rec *recorder
	if s.One {
		if rec, err = newRecorder(p.socket, t); err != nil {
			_ = p.cmd.Process.Kill()
		}
	}
	p.socket.Close()
	failure, rerr := io.ReadAll(p.failure)
	werr := p.cmd.Wait()
	ended := endAll(c.job.PidNS)
	if rec != nil {
		err = rec.finish()
	}
	var exit *exec.ExitError
	switch {
	case !ended: // whatever it left is still being written to
		return 0, errors.New("the command left processes that start others faster than they can be ended")
	case err != nil && len(failure) == 0:
		return 0, fmt.Errorf("record owners: %w", err)
	case rerr != nil:
		return 0, rerr
	case len(failure) > 0:
		return c.notStarted(failure)
	case errors.As(werr, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, werr
}

// notStarted is the end of a command that never began. A command that is not
// in the image is the user's affair, everything else ours.
func (c *process) notStarted(failure []byte) (int, error) {
	text := string(failure)
	if code, msg, ok := strings.Cut(text, " "); ok {
		if n, err := strconv.Atoi(code); err == nil && n > 0 {
			fmt.Fprintln(os.Stderr, msg)
			return n, nil
		}
		text = msg
	}
	return 0, errors.New(text)
}

// started is a command's process and what connects it.
type startedCommand struct {
	cmd     *exec.Cmd
	failure *os.File
	socket  *os.File
}

func (c *process) startCommand(s spec) (*startedCommand, error) {
	specRead, specWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	failRead, failWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "ours"), os.NewFile(uintptr(ends[1]), "theirs")
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // the death of this process ends it
	cmd.Args, cmd.Env = []string{innerName}, []string{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{specRead, failWrite, theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if !s.Chroot {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	}
	if s.nested() {
		// Until it has mapped its id, and as it is not root then, it keeps what it
		// needs only as ambient capabilities (capabilities(7)).
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE}
	}
	err = cmd.Start()
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("start command: %w", err)
	}
	err = json.NewEncoder(specWrite).Encode(s)
	specWrite.Close()
	return &startedCommand{cmd, failRead, ours}, err
}

// nest makes the one id that there is that of an ordinary user, in the user
// namespace that this process is in alone.
func nest(s spec) error {
	for _, f := range [][2]string{
		{"setgroups", "deny"}, {"uid_map", strconv.Itoa(s.UID) + " 0 1"}, {"gid_map", strconv.Itoa(s.GID) + " 0 1"},
	} {
		if err := os.WriteFile("/proc/self/"+f[0], []byte(f[1]), 0); err != nil {
			return fmt.Errorf("become user %d: %w", s.UID, err)
		}
	}
	return nil
}

// manyProcesses is more than a machine has at a time (pid_max, proc(5)): whoever
// has ended so many of a command's and finds another one is held up on purpose.
const manyProcesses = 1 << 22

// endAll kills what the command left running, waits for its end and says whether
// that came. What a process that is killed leaves behind becomes this one's.
func endAll(pidNS bool) bool {
	for range manyProcesses {
		if pidNS && os.Getpid() == 1 {
			_ = unix.Kill(-1, unix.SIGKILL) // there may be nobody
		} else {
			for _, pid := range children() {
				_ = unix.Kill(pid, unix.SIGKILL) // it may be gone
			}
		}
		_, err := unix.Wait4(-1, nil, 0, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return true
		}
	}
	return false
}

// endOnSignal makes a process without a pid namespace, whose death would end
// nothing else, take everything with it that it started.
func endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	go func() {
		<-signals
		endAll(false)
		os.Exit(1)
	}()
}

// children are the processes that this one is the parent of.
func children() []int {
	var pids []int
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil
	}
	for _, f := range tasks {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for word := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// inner is the process that becomes the command.
func inner() int {
	// What is set for a thread must hold for the one that becomes the command.
	runtime.LockOSThread()
	failure := os.NewFile(fdError, "error")
	for fd := fdSpec; fd <= fdSocket; fd++ {
		unix.CloseOnExec(fd)
	}
	code, err := become(os.NewFile(fdSpec, "spec"))
	fmt.Fprintf(failure, "%d %v", code, err)
	return exitNoExec
}

// become turns the process into the command; it returns only to say why not.
// A code says that the image is to blame.
func become(in io.Reader) (code int, err error) {
	var s spec
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return 0, fmt.Errorf("read command: %w", err)
	}
	if err := enterRoot(s); err != nil {
		return 0, err
	}
	unix.Umask(0o022)
	for _, l := range s.Ulimits {
		if err := limit(l); err != nil {
			return 0, err
		}
	}
	if err := os.Chdir(filepath.Clean(s.Dir)); err != nil {
		return exitNoExec, fmt.Errorf("working directory: %w", err)
	}
	exe, code, err := find(s.Args[0], s.Env)
	if err != nil {
		return code, err
	}
	if err := restrict(s); err != nil {
		return 0, err
	}
	err = syscall.Exec(exe, s.Args, s.Env)
	return exitNoExec, fmt.Errorf("start %s: %w", s.Args[0], err)
}

// enterRoot makes the image's root the process's.
func enterRoot(s spec) error {
	if s.nested() {
		if err := nest(s); err != nil {
			return err
		}
		// What the outer namespace mounted is locked here, but a copy is not.
		if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount root: %w", err)
		}
	}
	return enter(s.Root, s.Chroot)
}

// restrict gives up what the command must not have: system calls, capabilities,
// and the user's id or the calls that are answered in the kernel's place.
func restrict(s spec) error {
	if err := (guard{newPrivileges: s.NewPrivileges, alone: s.Alone}).install(); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if s.nested() {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capabilities: %w", err)
		}
	}
	if !s.One {
		return switchUser(s)
	}
	calls := ownerCalls()
	if s.Stats {
		calls = append(calls, statCalls()...)
	}
	if err := installFilter(calls); err != nil {
		return fmt.Errorf("record owners: %w", err)
	}
	return nil
}

// enter makes a directory the root.
func enter(root string, chroot bool) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if chroot {
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("change root: %w", err)
		}
		return os.Chdir("/")
	}
	if err := unix.PivotRoot(".", "."); err == nil {
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("leave the machine's files: %w", err)
		}
		return os.Chdir("/")
	}
	// Docker's seccomp profile refuses to pivot but not to move.
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return os.Chdir("/")
}

// find looks a command up in the PATH of its environment.
func find(name string, env []string) (exe string, code int, err error) {
	if strings.Contains(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return "", exitNoCommand, fmt.Errorf("%s: no such file in the image", name)
		}
		return name, 0, nil
	}
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	if i >= 0 {
		for _, dir := range filepath.SplitList(strings.TrimPrefix(env[i], "PATH=")) {
			p := filepath.Join(dir, name)
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return p, 0, nil
			}
		}
	}
	return "", exitNoCommand, fmt.Errorf("%s: command not found in the image", name)
}

// switchUser gives up being root, if the command is somebody else's.
func switchUser(s spec) error {
	groups := s.Groups
	if !slices.Contains(groups, s.GID) {
		groups = append([]int{s.GID}, groups...)
	}
	if err := unix.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := unix.Setresgid(s.GID, s.GID, s.GID); err != nil {
		return fmt.Errorf("become group %d: %w", s.GID, err)
	}
	if err := unix.Setresuid(s.UID, s.UID, s.UID); err != nil {
		return fmt.Errorf("become user %d: %w", s.UID, err)
	}
	return nil
}

// dropCapabilities leaves those that containers usually have.
func dropCapabilities() error {
	keep := []uintptr{
		unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD, unix.CAP_NET_RAW, unix.CAP_SETGID,
		unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(keep, c) {
			continue
		}
		have, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err == nil && have == 0 || errors.Is(err, unix.EINVAL) { // an older kernel has fewer
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return err
		}
	}
	return nil
}
