package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childName is argument 0 of the sandbox's own process, innerName that of the
// one that becomes the command.
const (
	childName = "kanso-sandbox"
	innerName = "kanso-sandbox-command"
)

// endDelay is how long a process that is asked to end may take to.
const endDelay = 10 * time.Second

// The file descriptors that the sandbox's process is started with.
const (
	fdJob    = 3 // the job, as JSON
	fdResult = 4 // the outcome, as JSON
	fdIn     = 5 // of the verb
	fdOut    = 6
	fdGo     = 7 // closed when ids are mapped
)

// streams are what is connected to the sandbox's process.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	direct         bool // files are handed over as they are
	in             io.Reader
	out            io.Writer
}

// tee is a writer that also keeps what passes. Both of a command's outputs may
// be written to at once.
func (t *tail) tee(w io.Writer) io.Writer {
	if w == nil {
		w = io.Discard
	}
	return &locked{mu: &teeLock, w: io.MultiWriter(w, t)}
}

// teeLock keeps lines of stdout and stderr apart.
var teeLock sync.Mutex //nolint:gochecknoglobals // a lock, no state

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// start starts the sandbox's process with a job, and waits for its end. What
// it reports is in out; an error that it reports is returned. If the context
// ends, everything that was started is killed.
func (s *Sandbox) start(ctx context.Context, j job, st streams, out *outcome) error {
	j.Mode, j.One, j.Real, j.PidNS = s.mode, s.one(), !s.shape.users(), s.pidNS || j.Kind == jobProbe && s.shape != shapePlain
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, s.exe())
	cmd.Args = []string{childName}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = st.stdin, st.stdout, st.stderr
	network := j.Run != nil && j.Run.isolated()
	cmd.SysProcAttr = s.attributes(j, network)
	// Signals to a process group pass the limits of pid namespaces, and the
	// session's terminal can be read by name: a command has its own, unless it is
	// the user's who sits there.
	cmd.SysProcAttr.Setsid = !st.direct || st.stdin == nil
	if !j.PidNS {
		// Killing the process would leave what it started, so it is asked to
		// end that first.
		cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = endDelay
	}
	p, err := newPipes()
	if err != nil {
		return err
	}
	defer p.close()
	cmd.ExtraFiles = p.child
	// The parent's death signal comes when the thread ends that started the
	// process, so that thread must stay.
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- s.serve(ctx, cancel, cmd, p, j, st)
	}()
	err = <-done
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.outcome(err, out)
}

// serve starts the process and waits for its end.
func (s *Sandbox) serve(ctx context.Context, cancel context.CancelCauseFunc, cmd *exec.Cmd, p *pipes, j job, st streams) error {
	if err := cmd.Start(); err != nil {
		return startError(err)
	}
	p.started()
	if s.shape == shapeSubuid {
		if err := mapIDs(ctx, cmd.Process.Pid); err != nil {
			cancel(err)
		}
	}
	p.run(j, st)
	return cmd.Wait()
}

// outcome is what the process reported; ended is how it ended.
func (p *pipes) outcome(ended error, out *outcome) error {
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.resultData) == 0 && ended != nil:
		return fmt.Errorf("the sandbox's process ended: %w", ended)
	case p.resultErr != nil:
		return p.resultErr
	}
	if err := json.Unmarshal(p.resultData, out); err != nil {
		return fmt.Errorf("read outcome: %w", err)
	}
	if out.Error != "" {
		return errors.New(out.Error)
	}
	return p.copying
}

func (s *Sandbox) exe() string {
	if s.o.Exe != "" {
		return s.o.Exe
	}
	return "/proc/self/exe"
}

// attributes are the namespaces of the sandbox's process.
func (s *Sandbox) attributes(j job, network bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.shape == shapePlain {
		return a
	}
	a.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC
	if j.PidNS {
		a.Cloneflags |= syscall.CLONE_NEWPID
	}
	if j.Kind == jobRun {
		a.Cloneflags |= syscall.CLONE_NEWUTS
	}
	if network {
		a.Cloneflags |= syscall.CLONE_NEWNET
	}
	if !s.shape.users() {
		return a
	}
	a.Cloneflags |= syscall.CLONE_NEWUSER
	switch s.shape {
	case shapeSingle:
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	case shapeIdentity:
		a.UidMappings, a.GidMappings = identity("/proc/self/uid_map"), identity("/proc/self/gid_map")
		a.GidMappingsEnableSetgroups = true
	}
	return a
}

// identity maps every id that there is here to itself.
func identity(file string) []syscall.SysProcIDMap {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var maps []syscall.SysProcIDMap
	for line := range strings.Lines(string(data)) {
		var inside, outside, size int
		if n, _ := fmt.Sscan(line, &inside, &outside, &size); n == 3 {
			maps = append(maps, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
		}
	}
	return maps
}

// startError says what it means that the process could not be started.
func startError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("user namespaces are not allowed: %w", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return fmt.Errorf("no user namespace is left (user.max_user_namespaces): %w", err)
	}
	return err
}

// pipes connect the sandbox's process.
type pipes struct {
	child              []*os.File // its ends, in the order of the descriptors
	job, results       *os.File
	in, out, release   *os.File
	mu                 sync.Mutex
	wg                 sync.WaitGroup
	resultData         []byte
	resultErr, copying error
}

func newPipes() (*pipes, error) {
	p := &pipes{}
	ends := make([][2]*os.File, 5)
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("make pipe: %w", err)
		}
		ends[i] = [2]*os.File{r, w}
	}
	p.job, p.results, p.in, p.out, p.release = ends[0][1], ends[1][0], ends[2][1], ends[3][0], ends[4][1]
	p.child = []*os.File{ends[0][0], ends[1][1], ends[2][0], ends[3][1], ends[4][0]}
	return p, nil
}

// started closes what belongs to the process.
func (p *pipes) started() {
	for _, f := range p.child {
		f.Close()
	}
}

// run sends the job and moves what goes in and out.
func (p *pipes) run(j job, st streams) {
	p.release.Close()
	p.wg.Go(func() {
		err := json.NewEncoder(p.job).Encode(j)
		p.fail(err)
		p.job.Close()
	})
	p.wg.Go(func() {
		data, err := io.ReadAll(p.results)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.resultData, p.resultErr = data, err
	})
	p.wg.Go(func() {
		defer p.in.Close()
		if st.in != nil {
			_, err := io.Copy(p.in, st.in)
			if !errors.Is(err, unix.EPIPE) { // the verb may have read enough
				p.fail(err)
			}
		}
	})
	p.wg.Go(func() {
		w := st.out
		if w == nil {
			w = io.Discard
		}
		_, err := io.Copy(w, p.out)
		p.fail(err)
		_, _ = io.Copy(io.Discard, p.out) // so that the process can end
	})
}

func (p *pipes) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.copying == nil {
		p.copying = err
	}
}

func (p *pipes) close() {
	for _, f := range append(p.child, p.job, p.results, p.in, p.out, p.release) {
		if f != nil {
			f.Close()
		}
	}
}
