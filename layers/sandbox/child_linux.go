package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main must be called first by every program that opens sandboxes, tests
// included: if this process is a sandbox's own, it does what it was started
// for, and the caller must exit with the code.
func Main(args []string, verbs map[string]Verb) (code int, child bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch args[0] {
	case innerName:
		return inner(), true
	case wheelsName:
		return wheels(args), true
	case childName:
	default:
		return 0, false
	}
	c := &process{verbs: verbs, result: os.NewFile(fdResult, "result"), in: os.NewFile(fdIn, "in"), out: os.NewFile(fdOut, "out")}
	if c.mapped() {
		return 1, true // it would have become the process with ids
	}
	var out outcome
	if err := c.main(&out); err != nil {
		out.Error = err.Error()
	}
	if err := json.NewEncoder(c.result).Encode(out); err != nil {
		return 1, true
	}
	return 0, true
}

// process is the sandbox's own process.
type process struct {
	verbs  map[string]Verb
	result *os.File
	in     *os.File // of verbs
	out    *os.File
	job    job
}

// mapped waits until ids are mapped. A process that had no id when it was
// started has no rights either, so it starts itself once more; that it could
// not is the answer.
func (c *process) mapped() bool {
	_, _ = io.Copy(io.Discard, os.NewFile(fdGo, "go")) // ends when the parent closes it
	if os.Getenv("KANSO_MAPPED") != "" {
		return false
	}
	var head unix.CapUserHeader
	head.Version = unix.LINUX_CAPABILITY_VERSION_3
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err == nil && data[0].Effective != 0 || os.Geteuid() != 0 {
		return false
	}
	for fd := fdJob; fd <= fdOut; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return true
		}
	}
	err := syscall.Exec("/proc/self/exe", []string{childName}, append(os.Environ(), "KANSO_MAPPED=1"))
	_ = json.NewEncoder(c.result).Encode(outcome{Error: "start again with ids: " + err.Error()})
	return true
}

func (c *process) main(out *outcome) error {
	unix.Umask(0o022) // that of the caller shows in nothing
	closeOnExec(fdJob)
	in := os.NewFile(fdJob, "job")
	if err := json.NewDecoder(in).Decode(&c.job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	in.Close()
	if !c.job.PidNS {
		endOnSignal()
	}
	if !c.plain() {
		// What is mounted here must not reach the machine.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
	}
	switch c.job.Kind {
	case jobProbe:
		out.Probe = c.probe()
		return nil
	case jobCall:
		return c.verb(nil)
	case jobRemove:
		return removeAll(c.job.Scratch)
	case jobRun:
		return c.run(out)
	}
	return fmt.Errorf("unknown job %q", c.job.Kind)
}

// closeOnExec keeps descriptors, from the first one on, from what this process
// starts: ours, and those that whoever started kanso left open for it.
func closeOnExec(first int) {
	if unix.CloseRange(uint(first), math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	// Linux before 5.11.
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
}

// plain says that there are no namespaces.
func (c *process) plain() bool { return c.job.Mode == ModeChroot || c.job.Mode == ModeLoader }

// verb runs the job's verb.
func (c *process) verb(changes *Changes) error {
	v := c.verbs[c.job.Verb]
	if v == nil {
		return fmt.Errorf("unknown verb %q", c.job.Verb)
	}
	return c.call(v, c.job.Args, changes)
}

func (c *process) call(v Verb, args json.RawMessage, changes *Changes) error {
	return v(context.Background(), Env{Changes: changes, Owners: c.job.Owners, Args: args, In: c.in, Out: c.out})
}

// removeAll removes a directory of any owner's and mode.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// run prepares the files, runs the command and calls the verb on the changes.
func (c *process) run(out *outcome) error {
	t := &tree{job: c.job, merge: c.merge, sockets: map[string]ownerEntry{}}
	if err := c.prepare(t); err != nil {
		return err
	}
	var err error
	if t.rights, err = t.restrict(t.root); err != nil {
		return err
	}
	for _, f := range c.job.Run.Files {
		if err := t.put(f); err != nil {
			return fmt.Errorf("put %s in place: %w", f.Path, err)
		}
	}
	runCommand := c.loader
	if c.job.Mode != ModeLoader {
		if err := t.workDir(); err != nil {
			return fmt.Errorf("make working directory %s: %w", c.job.Run.Dir, err)
		}
		if err := t.furnish(); err != nil {
			return err
		}
		runCommand = c.command
	}
	code, err := runCommand(t)
	if err != nil {
		return err
	}
	out.Exited, out.Code = true, code
	if err := t.dismantle(); err != nil {
		return err
	}
	if code != 0 || c.job.Verb == "" {
		return nil
	}
	synced := t.sync(c.job.Run.Keep)
	if err := c.verb(t.changes()); err != nil {
		return fmt.Errorf("%s: %w", c.job.Verb, err)
	}
	if err := synced(); err != nil {
		return fmt.Errorf("write changes to disk: %w", err)
	}
	return t.keep(c.job.Run.Keep)
}

// prepare makes the command's root.
func (c *process) prepare(t *tree) error {
	if c.job.Mode == ModeOverlay || c.job.Mode == ModeTmpfs {
		return t.stack()
	}
	t.root, t.before = filepath.Join(c.job.Scratch, "root"), filepath.Join(c.job.Scratch, "before")
	if err := os.Mkdir(t.root, 0o755); err != nil {
		return err
	}
	if err := c.merge(c.job.Run.Lowers, t.root); err != nil {
		return err
	}
	if err := c.named("snapshot", SnapshotArgs{Root: t.root, File: t.before}); err != nil {
		return err
	}
	if c.plain() {
		return nil
	}
	return unix.Mount(t.root, t.root, "", unix.MS_BIND|unix.MS_REC, "")
}

// merge copies what stacked trees show into a directory.
func (c *process) merge(lowers []string, dst string) error {
	return c.named("merge", MergeArgs{Lowers: lowers, Dst: dst, Owners: c.job.Owners})
}

// named calls a verb that the sandbox needs itself.
func (c *process) named(verb string, args any) error {
	v := c.verbs[verb]
	data, err := json.Marshal(args)
	if v == nil {
		err = errors.New("there is no such verb")
	}
	if err == nil {
		err = c.call(v, data, nil)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}
