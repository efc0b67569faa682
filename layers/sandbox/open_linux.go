package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Sandbox runs commands. It may be used by several goroutines at once.
type Sandbox struct {
	o     Options
	shape shape
	mode  Mode
	pidNS bool // a pid namespace with a /proc of its own
}

// A shape is a way to have ids, by the name that reports give it.
type shape string

// The shapes. Root prefers a user namespace in which all ids mean what they
// mean outside: what a step can reach is less.
const (
	shapeIdentity shape = "identity"
	shapeRoot     shape = "root" // no user namespace
	shapeSingle   shape = "single"
	shapeSubuid   shape = "subuid"
	shapePlain    shape = "plain" // no namespace at all
)

// users says that there is a user namespace.
func (s shape) users() bool { return s != shapeRoot && s != shapePlain }

// one says that one id is mapped.
func (s shape) one() bool { return s == shapeSingle }

// shapes are those that an option allows, in the order of trying.
func shapes(ids IDs) []shape {
	root := os.Geteuid() == 0
	switch {
	case ids == IDsSingle:
		return []shape{shapeSingle}
	case root:
		return []shape{shapeIdentity, shapeRoot}
	case ids == IDsSubuid:
		return []shape{shapeSubuid}
	}
	return []shape{shapeSingle}
}

// Open finds out how commands can be run in a directory, by doing it once for
// real. If nothing works the error wraps [ErrUnavailable] and says why.
func Open(ctx context.Context, o Options) (*Sandbox, error) {
	var reasons []string
	for _, s := range shapes(o.IDs) {
		if o.Mode == ModeLoader || o.Mode == ModeChroot {
			break
		}
		box := &Sandbox{o: o, shape: s}
		got, err := box.probe(ctx)
		if err != nil {
			reasons = append(reasons, string(s)+": "+err.Error())
			continue
		}
		box.pidNS = got.Proc == ""
		if box.mode = got.choose(o.Mode); box.mode != "" {
			return box, nil
		}
		reasons = append(reasons, string(s)+": "+got.reason(o.Mode))
	}
	if os.Geteuid() == 0 && (o.Mode == "" || o.Mode == ModeChroot) && o.IDs != IDsSingle {
		box := &Sandbox{o: o, shape: shapePlain, mode: ModeChroot}
		got, err := box.probe(ctx)
		if err == nil && got.Chroot == "" {
			return box, nil
		}
		reasons = append(reasons, "chroot: "+cmp.Or(errText(err), got.chrootText()))
	}
	if o.Mode == "" || o.Mode == ModeLoader {
		err := attributes(o.Dir)
		if err == nil {
			return &Sandbox{o: o, shape: shapePlain, mode: ModeLoader}, nil
		}
		reasons = append(reasons, "loader: "+err.Error())
	}
	return nil, limited(fmt.Errorf("%w: %s", ErrUnavailable, strings.Join(reasons, "; ")))
}

// attributes says why owners cannot be kept with files in a directory.
func attributes(dir string) error {
	f, err := os.CreateTemp(dir, "run-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return unix.Fsetxattr(int(f.Fd()), ownerXattr, []byte("1:1:0600"), 0)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (p *probed) chrootText() string {
	if p == nil {
		return ""
	}
	return p.Chroot
}

// choose is the mode to be used, if it works.
func (p *probed) choose(want Mode) Mode {
	for _, m := range []struct {
		mode Mode
		why  string
	}{{ModeOverlay, p.Overlay}, {ModeTmpfs, p.Tmpfs}, {ModeCopy, p.Bind}} {
		if m.why == "" && (want == "" || want == m.mode) {
			return m.mode
		}
	}
	return ""
}

// reason is why a mode does not work.
func (p *probed) reason(want Mode) string {
	switch want {
	case ModeTmpfs:
		return p.Tmpfs
	case ModeCopy:
		return p.Bind
	}
	return p.Overlay
}

// probe tries everything in a scratch directory.
func (s *Sandbox) probe(ctx context.Context) (*probed, error) {
	dir, err := os.MkdirTemp(s.o.Dir, "run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var out outcome
	err = s.start(ctx, job{Kind: jobProbe, Scratch: dir}, streams{}, &out)
	if err != nil {
		return nil, err
	}
	if out.Probe == nil {
		return nil, errors.New("the sandbox's process said nothing")
	}
	return out.Probe, nil
}

// Mode returns the mode that commands are run in.
func (s *Sandbox) Mode() Mode { return s.mode }

// Trees names the set of unpacked trees that this sandbox can use: what ids
// mean on disk differs.
func (s *Sandbox) Trees() string {
	switch {
	case s.one():
		return "single-" + strconv.Itoa(os.Geteuid())
	case s.shape == shapeSubuid:
		return "subuid-" + strconv.Itoa(os.Geteuid())
	}
	return "root"
}

// Owners says how ids are kept in trees: "xattr" with one id, else "real".
func (s *Sandbox) Owners() string {
	if s.one() {
		return "xattr"
	}
	return "real"
}

// one says that all files belong to one id.
func (s *Sandbox) one() bool { return s.shape.one() || s.mode == ModeLoader }

// CanKeep says whether [Command.Keep] is possible.
func (s *Sandbox) CanKeep() bool { return s.mode == ModeOverlay }

// Close does nothing yet.
func (s *Sandbox) Close() error { return nil }

// Call runs a verb without a command.
func (s *Sandbox) Call(ctx context.Context, c Call) error {
	args, err := json.Marshal(c.Args)
	if err != nil {
		return fmt.Errorf("sandbox: %s: %w", c.Verb, err)
	}
	var log tail
	err = s.start(ctx, job{Kind: jobCall, Owners: s.Owners(), Verb: c.Verb, Args: args}, streams{in: c.In, out: c.Out, stderr: &log}, &outcome{})
	if err != nil {
		return fmt.Errorf("sandbox: %s: %w", c.Verb, err)
	}
	return nil
}

// Run runs a command and, if it succeeded, c.After on what it changed. A
// command that failed gives an [*ExitError]; if that is for want of ids that
// this machine has, the error wraps [ErrNeedsIDs] too.
func (s *Sandbox) Run(ctx context.Context, c Command) error {
	if len(c.Args) == 0 {
		return errors.New("sandbox: no command")
	}
	if s.mode == ModeLoader && (c.Foreign || !installs(c.Args)) {
		return limited(fmt.Errorf("%w: the mode loader, the only one that works, can install wheels with pip or uv and nothing else", ErrUnavailable))
	}
	if s.shape == shapePlain && (&runJob{Network: c.Network}).isolated() {
		return fmt.Errorf("%w: the mode %s, the only one that works, has the machine's network, and the command is to have the network %s", ErrUnavailable, s.mode, c.Network)
	}
	scratch, err := os.MkdirTemp(s.o.Dir, "run-")
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer s.remove(context.WithoutCancel(ctx), scratch)
	j := job{Kind: jobRun, Owners: s.Owners(), Scratch: scratch, Run: &runJob{
		Lowers: c.Lowers, Args: c.Args, Env: c.Env, Dir: c.Dir, UID: c.UID, GID: c.GID, Groups: c.Groups,
		Files: c.Files, Mounts: c.Mounts, Network: c.Network, Proxy: c.Proxy, Hostname: c.Hostname, Hosts: c.Hosts,
		Ulimits: c.Ulimits, ShmSize: c.ShmSize, Foreign: c.Foreign, Keep: c.Keep,
	}}
	st := streams{stdin: c.Stdin, direct: c.Discard}
	last := &tail{}
	st.stdout, st.stderr = last.tee(c.Stdout), last.tee(c.Stderr)
	if c.Discard {
		st.stdout, st.stderr = c.Stdout, c.Stderr
	}
	if c.After != nil {
		if j.Args, err = json.Marshal(c.After.Args); err != nil {
			return fmt.Errorf("sandbox: %s: %w", c.After.Verb, err)
		}
		j.Verb, st.in, st.out = c.After.Verb, c.After.In, c.After.Out
	}
	var out outcome
	if err := s.start(ctx, j, st, &out); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if !out.Exited || out.Code == 0 {
		return nil
	}
	exit := &ExitError{Args: c.Args, Code: out.Code, Tail: last.String()}
	exit.IDs = s.shape.one() && wantsIDs(exit.Tail)
	if exit.IDs && s.o.IDs != IDsSingle && subordinate() == nil {
		return fmt.Errorf("%w: %w", ErrNeedsIDs, exit)
	}
	if s.mode == ModeLoader && wantsBuild(exit.Tail) {
		return limited(fmt.Errorf("%w (the mode loader, the only one that works here, takes wheels and builds none)", exit))
	}
	return exit
}

// installs says whether a command is one that the mode loader can do.
func installs(args []string) bool {
	line := strings.Join(args, " ") + " "
	return strings.HasPrefix(line, "pip install ") || strings.HasPrefix(line, "uv pip install ")
}

// remove removes a scratch directory, inside if it cannot be done outside.
func (s *Sandbox) remove(ctx context.Context, dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	// What is left is removed when the cache is next opened by nobody else.
	_ = s.start(ctx, job{Kind: jobRemove, Scratch: dir}, streams{}, &outcome{})
	_ = os.RemoveAll(dir)
}

// tailLines is how many lines of output an error has.
const tailLines = 20

// A tail keeps the last lines that pass.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if t.buf.Len() > 64<<10 {
		rest := bytes.Clone(t.buf.Bytes()[t.buf.Len()-(32<<10):])
		t.buf.Reset()
		t.buf.Write(rest)
	}
	return len(p), nil
}

func (t *tail) String() string {
	lines := strings.Split(strings.TrimRight(t.buf.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// treeFiles is the directory of a tree that holds its files, treeTable the
// file with owners that the files cannot carry.
func treeFiles(tree string) string { return filepath.Join(tree, "fs") }
func treeTable(tree string) string { return filepath.Join(tree, "owners.json") }
