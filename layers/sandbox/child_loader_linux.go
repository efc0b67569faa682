package sandbox

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where nothing is allowed at all, no root can be changed. But the image's own
// Python can be started in a private copy of the image: by the image's own
// dynamic loader, with the image's libraries. It sees the machine's files, so
// this is only for wheels, which bring no code that runs when they are
// installed. What it writes down of where it ran is set right afterwards.

// loader runs an installer that way. It returns the exit code.
func (c *process) loader(t *tree) (int, error) {
	l := &pythonLoader{t: t, run: c.job.Run}
	if err := l.find(); err != nil {
		return 0, err
	}
	argv, err := l.translate()
	if err != nil {
		return 0, err
	}
	if err := (guard{everyThread: true}).install(); err != nil {
		return 0, err
	}
	code, err := l.start(argv)
	if err != nil || code != 0 {
		return code, err
	}
	if code, err = l.compile(); err != nil || code != 0 {
		return code, err
	}
	return 0, l.setRight()
}

// pythonLoader knows the image's Python.
type pythonLoader struct {
	t         *tree
	run       *runJob
	python    string // as the image's PATH names it
	program   string // the file itself
	ld        string // the loader that it names
	libraries []string
	home      string // where its own modules are
	pip       bool   // the step is pip's, so it compiles
}

// on is where a path of the image is on this side; of a link, what it leads to.
func (l *pythonLoader) on(p string) (string, error) {
	at, err := l.t.inside(p)
	return filepath.Join(l.t.root, at), err
}

// find finds the Python that pip would run with, and what starts it.
func (l *pythonLoader) find() error {
	i := slices.IndexFunc(l.run.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	if i < 0 {
		return errors.New("mode loader: the image has no PATH")
	}
	for _, dir := range filepath.SplitList(strings.TrimPrefix(l.run.Env[i], "PATH=")) {
		p := path.Join(dir, "python3")
		file, err := l.on(p)
		if err != nil {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			l.python, l.program = filepath.Join(l.t.root, p), file
			break
		}
	}
	if l.program == "" {
		return errors.New("mode loader: the image has no python3 on its PATH")
	}
	l.home = path.Dir(path.Dir(l.program))
	return l.readELF()
}

// readELF finds the dynamic loader and the libraries.
func (l *pythonLoader) readELF() error {
	f, err := elf.Open(l.program)
	if err != nil {
		return fmt.Errorf("mode loader: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(p.Open(), unix.PathMax))
		if err != nil {
			return fmt.Errorf("mode loader: %w", err)
		}
		if l.ld, err = l.on(strings.TrimRight(string(name), "\x00")); err != nil {
			return err
		}
	}
	if l.ld == "" {
		return errors.New("mode loader: the image's Python is linked statically")
	}
	for _, dir := range []string{
		"/usr/local/lib", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
		"/lib64", "/usr/lib64", "/lib", "/usr/lib",
	} {
		if at, err := l.on(dir); err == nil && !slices.Contains(l.libraries, at) {
			if info, err := os.Stat(at); err == nil && info.IsDir() {
				l.libraries = append(l.libraries, at)
			}
		}
	}
	return nil
}

// translate makes a command line for pip of one of pip's or uv's.
func (l *pythonLoader) translate() ([]string, error) {
	args := l.run.Args
	switch {
	case len(args) > 2 && args[0] == "pip" && args[1] == "install":
		l.pip, args = true, args[2:]
	case len(args) > 3 && args[0] == "uv" && args[1] == "pip" && args[2] == "install":
		args = slices.DeleteFunc(slices.Clone(args[3:]), func(a string) bool { return a == "--system" })
	default:
		return nil, fmt.Errorf("mode loader: it can install wheels with pip or uv and nothing else, not run %s", strings.Join(args, " "))
	}
	return append([]string{"-m", "pip", "install", "--only-binary=:all:", "--no-compile"}, args...), nil
}

// start starts Python with arguments, in the image's working directory.
func (l *pythonLoader) start(args []string) (int, error) {
	dir, err := l.on(l.run.Dir)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // the death of this process ends it
	cmd.Args = append([]string{wheelsName, l.ld, "--library-path", strings.Join(l.libraries, ":"), "--argv0", l.python, l.program}, args...)
	cmd.Dir, cmd.Env = dir, l.environment()
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// environment is the step's, with the places of this side: paths of what is
// lent are those on the machine.
func (l *pythonLoader) environment() []string {
	var env []string
	for _, e := range l.run.Env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "PYTHONHOME", "VIRTUAL_ENV":
			continue
		}
		for _, m := range l.run.Mounts {
			if value == m.Target || strings.HasPrefix(value, m.Target+"/") {
				value = m.Source + strings.TrimPrefix(value, m.Target)
			}
		}
		env = append(env, name+"="+value)
	}
	return append(env, "PYTHONHOME="+l.home, "PYTHONDONTWRITEBYTECODE=1", "HOME="+l.t.job.Scratch, "TMPDIR="+l.t.job.Scratch)
}

// compile compiles what pip installed, as pip does, with the paths of the
// image in what is compiled.
func (l *pythonLoader) compile() (int, error) {
	if !l.pip {
		return 0, nil
	}
	code := `import compileall, os, py_compile, sys, sysconfig
root, before = sys.argv[1:]
began = os.stat(before).st_mtime_ns
for dir, _, names in os.walk(sysconfig.get_path("purelib")):
    for name in names:
        file = os.path.join(dir, name)
        if name.endswith(".py") and os.stat(file).st_ctime_ns > began:
            compileall.compile_file(file, quiet=2, stripdir=root, prependdir="/",
                                    invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)`
	return l.start([]string{"-c", code, l.t.root, l.t.before})
}
