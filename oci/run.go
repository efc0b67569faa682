package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/resolve/plan"
)

// defaultPath is what a step finds commands in if the image names no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run runs a command and settles modes and owners of what it left where these
// were settled before.
func (b *Builder) run(ctx context.Context, st *state, r plan.Run) error {
	x := st.whereAndWho(execution{
		step: r.String(), kind: r.Kind(), args: r.Args, packages: r.Packages, env: r.Env,
		dir: r.Dir, user: r.User, run: r, foreign: len(r.Packages) == 0,
	})
	if done, err := b.settled(ctx, st, r, x); done || err != nil {
		return err
	}
	err := b.execute(ctx, st, x)
	if err != nil || r.Below == "" {
		return err
	}
	return b.settle(ctx, st, r)
}

// settle puts what the step changed below r.Below in order, as chmod -R and
// chown -R would; a layer is added only if something is to be changed.
func (b *Builder) settle(ctx context.Context, st *state, r plan.Run) error {
	set := entries{}
	c := plan.Copy{Dest: r.Below, AddMode: r.AddMode, Owner: r.Owner, Adopt: true}
	if err := b.adopt(ctx, st, set, strings.TrimPrefix(path.Clean(r.Below), "/"), c); err != nil {
		return err
	}
	for name := range set {
		st.parents(set, nil, name, b)
	}
	return b.filesLayer(ctx, st, work{step: "SETTLE " + r.Below, kind: r.Kind(), adopts: true}, set.sorted())
}

// execution is a command to be run in the image as it is.
type execution struct {
	step, kind    string
	args          []string
	packages, env []string
	files         []sandbox.File
	dir, user     string
	run           plan.Run // what else a Run says
	foreign       bool     // a user's own command, which sees what other builders show it
	parts         int      // layers that what is changed may be divided into, see [Distributions]; less than 2 is one
	aside         []string // directories whose changes do not count

	install *installing     // nil if it is none
	mounts  []sandbox.Mount // lent beside those of the plan
	vars    []string        // "NAME=value", given to this run alone
	also    io.Writer       // takes what is printed, too; nil does not
	ended   func()          // called when the command has, once or for each attempt; nil is not
	join    *JoinArgs       // what is changed joins what an earlier install left
	known   map[string]made // layers of that, by diff id
}

// whereAndWho completes an execution by what the image says.
func (st *state) whereAndWho(x execution) execution {
	x.dir = cmp.Or(x.dir, st.config.Config.WorkingDir, "/")
	x.user = cmp.Or(x.user, st.config.Config.User)
	return x
}

// execute puts what a command changes on top of the state.
func (b *Builder) execute(ctx context.Context, st *state, x execution) error {
	w, err := b.executionWork(ctx, st, x)
	if err != nil {
		return err
	}
	return b.layer(ctx, st, w)
}

// executionWork is the work that a command is.
func (b *Builder) executionWork(ctx context.Context, st *state, x execution) (work, error) {
	x = st.whereAndWho(x)
	k, err := b.executionKey(ctx, st, x, true)
	if err != nil {
		return work{}, err
	}
	w := work{step: x.step, kind: x.kind, key: k.sum(), parts: k.parts, runs: true, make: func(ctx context.Context) ([]made, error) { return b.withIDs(ctx, st, x) }}
	if x.install != nil {
		family, err := b.executionKey(ctx, st, x, false)
		if err != nil {
			return work{}, err
		}
		x.install.key, x.install.family, w.install = k.sum(), family.add("project", b.Project).sum(), x.install
		w.make = func(ctx context.Context) ([]made, error) { return b.installed(ctx, st, x) }
	}
	return w, nil
}

// executionKey is the key of what a command makes; without contents of files it
// is that of all executions that differ in these alone.
func (b *Builder) executionKey(ctx context.Context, st *state, x execution, contents bool) (*key, error) {
	k := newKey(x.kind).
		add("layers", st.diffIDs()...).
		add("platform", st.config.OS, st.config.Architecture, st.config.Variant).
		add("args", x.args...).
		add("env", st.config.Config.Env...).
		add("dir", x.dir).add("user", x.user).add("network", b.Egress.keyed(x.run.Network)).
		add("foreign", strconv.FormatBool(x.foreign)).
		add("compression", b.Compression.String()).add("time", b.time().String())
	if x.parts > 1 {
		k.add("layers at most", strconv.Itoa(x.parts))
	}
	if len(x.aside) > 0 {
		k.add("aside", x.aside...)
	}
	for _, f := range x.files {
		data := ""
		if contents {
			data = string(f.Data)
		}
		k.add("file", f.Path, strconv.FormatUint(uint64(f.Mode), 8), strconv.Itoa(f.UID), strconv.Itoa(f.GID), data)
	}
	return k, b.runKey(ctx, st, k, x.run)
}

// withIDs runs a command and keeps what it changed, and does so again with more
// ids if these are needed.
func (b *Builder) withIDs(ctx context.Context, st *state, x execution) ([]made, error) {
	list, err := b.attempt(ctx, st, x, b.IDs)
	if errors.Is(err, sandbox.ErrNeedsIDs) && (b.IDs == "" || b.IDs == sandbox.IDsAuto) {
		b.noteIn(st, "one id does not suffice: try again with subordinate ids")
		return b.attempt(ctx, st, x, sandbox.IDsSubuid)
	}
	return list, err
}

// runKey adds what only a Run has. Addresses of hosts change nothing, names may.
func (b *Builder) runKey(ctx context.Context, st *state, k *key, r plan.Run) error {
	for _, v := range r.Vars {
		k.add("var", v.Name, v.Value)
	}
	for _, f := range r.Lent {
		k.add("lent", f.Path, f.Mode.String(), f.Data)
	}
	for _, h := range r.Hosts {
		name, _, _ := strings.Cut(h, "=")
		k.add("host", name)
	}
	for _, u := range r.Ulimits {
		k.add("ulimit", u.Name, strconv.FormatInt(u.Soft, 10), strconv.FormatInt(u.Hard, 10))
	}
	k.add("shm", strconv.FormatInt(r.ShmSize, 10))
	return b.mountKeys(ctx, st, k, r.Mounts)
}

// prepared is the sandbox's command for an execution; release must be called
// when it is done.
func (b *Builder) prepared(ctx context.Context, st *state, x execution, r Runner) (cmd sandbox.Command, release func(), err error) {
	lowers, trees, err := b.trees(ctx, st, r)
	if err != nil {
		return cmd, nil, err
	}
	m := &mounter{b: b, st: st, r: r, foreign: x.foreign}
	end := func() {
		m.release()
		trees()
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	if x.install != nil && st.course != nil {
		st.course.ahead.make(ctx, b, st)
	}
	if cmd, err = b.command(ctx, st, x); err != nil {
		return cmd, nil, err
	}
	cmd.Lowers = lowers
	mounts, err := m.mounts(ctx, x.run.Mounts)
	if err == nil {
		err = m.egress(ctx, &cmd)
	}
	cmd.Mounts = slices.Concat(cmd.Mounts, mounts, x.mounts)
	return cmd, end, err
}

// attempt runs a command once and keeps what it changed.
func (b *Builder) attempt(ctx context.Context, st *state, x execution, ids sandbox.IDs) ([]made, error) {
	if b.Runner == nil {
		return nil, ErrNoRunner
	}
	r, err := b.Runner(ctx, ids)
	if err != nil {
		return nil, err
	}
	cmd, release, err := b.prepared(ctx, st, x, r)
	if err != nil {
		return nil, err
	}
	defer release()
	out := b.output(st)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if x.also != nil {
		w := io.MultiWriter(out, x.also)
		cmd.Stdout, cmd.Stderr = w, w
	}
	if r.CanKeep() {
		if cmd.Keep, err = os.MkdirTemp(b.Store.Scratch(), "tree-"); err != nil {
			return nil, fmt.Errorf("make tree: %w", err)
		}
		defer os.Remove(cmd.Keep) // gone already if the tree was taken over
	}
	args := CaptureArgs{CaptureOptions: layers.CaptureOptions{
		Owners: layers.Owners(r.Owners()), UID: cmd.UID, GID: cmd.GID,
		Time: b.time(), KeepPyc: x.foreign, Settle: cmd.Keep != "",
	}, Join: x.join, Aside: x.aside}
	list, err := b.captured(ctx, st, r, cmd, args, x)
	if err != nil || cmd.Keep == "" {
		if cmd.Keep != "" && errors.Is(os.Remove(cmd.Keep), syscall.ENOTEMPTY) { // the command had ended
			err = errors.Join(err, r.Call(context.WithoutCancel(ctx), sandbox.Call{Verb: "remove", Args: RemoveArgs{Paths: []string{cmd.Keep}}}))
		}
		return list, err
	}
	stack := st.hashes()
	for _, m := range list {
		stack = append(stack, m.diffID)
	}
	if err := b.Store.AdoptTree(ctx, r.Trees(), treeOf(stack, len(list)), cmd.Keep); err != nil {
		b.note("keep tree: %v", err) // it will be unpacked from the layers instead
		return list, r.Call(ctx, sandbox.Call{Verb: "remove", Args: RemoveArgs{Paths: []string{cmd.Keep}}})
	}
	return list, nil
}

// captured runs a command and keeps what it changed in as many layers as are
// allowed.
func (b *Builder) captured(ctx context.Context, st *state, r Runner, cmd sandbox.Command, args CaptureArgs, x execution) ([]made, error) {
	run := func(w io.Writer) error {
		if x.ended != nil {
			w = &announced{w: w, first: x.ended}
		}
		cmd.After = &sandbox.Call{Verb: "capture", Args: args, Out: w}
		return b.explained(cmd, r.Run(ctx, cmd))
	}
	if x.parts > 1 || x.join != nil {
		args.Parts = max(1, x.parts)
		return b.packParts(ctx, run, x.known, func(list []made) { b.sendAhead(st, list) })
	}
	m, err := b.pack(ctx, run)
	return []made{m}, err
}

// announced tells of the first bytes that are written.
type announced struct {
	w     io.Writer
	first func()
}

// Write implements [io.Writer].
func (a *announced) Write(data []byte) (int, error) {
	if a.first != nil {
		a.first()
		a.first = nil
	}
	return a.w.Write(data)
}

// command is the sandbox's command for an execution, without the image's files
// and the mounts of the plan.
func (b *Builder) command(ctx context.Context, st *state, x execution) (sandbox.Command, error) {
	who, err := b.user(ctx, st, x.user)
	if err != nil {
		return sandbox.Command{}, err
	}
	c := sandbox.Command{
		Args: slices.Clone(x.args), Env: slices.Clone(st.config.Config.Env), Dir: x.dir, UID: who.UID, GID: who.GID, Groups: who.Groups,
		Files: x.files, Mounts: lent(x.run.Lent), Network: x.run.Network, Foreign: x.foreign, ShmSize: x.run.ShmSize,
	}
	for _, u := range x.run.Ulimits {
		c.Ulimits = append(c.Ulimits, sandbox.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, v := range x.run.Vars {
		c.Env = setEnv(c.Env, v.Name, v.Value)
	}
	if c.Env, err = b.mountEnv(stepEnv(c.Env, who), x.run.Mounts); err != nil {
		return sandbox.Command{}, err
	}
	if x.foreign {
		err = b.asElsewhere(&c, x.run.Hosts)
	} else {
		b.repeatable(&c, x.packages, x.install != nil)
	}
	for _, name := range x.env {
		c.Env = setEnv(c.Env, name, b.StepEnv[name])
	}
	for _, v := range x.vars {
		name, value, _ := strings.Cut(v, "=")
		c.Env = setEnv(c.Env, name, value)
	}
	return c, err
}

// asElsewhere gives a user's own command the names that BuildKit gives it.
func (b *Builder) asElsewhere(c *sandbox.Command, hosts []string) error {
	c.Hostname = "buildkitsandbox"
	for _, h := range hosts {
		name, address, ok := strings.Cut(h, "=")
		if !ok {
			return fmt.Errorf("host %q: want NAME=ADDRESS", h)
		}
		c.Hosts = append(c.Hosts, address+"\t"+name)
	}
	return nil
}

// repeatable gives one of our own commands what makes it leave the same files
// every time, and what package managers are lent. Only an installer by itself may
// link files of its cache: other commands may change what was installed.
func (b *Builder) repeatable(c *sandbox.Command, packages []string, installs bool) {
	c.Env = setEnv(c.Env, "SOURCE_DATE_EPOCH", strconv.FormatInt(b.time().Unix(), 10))
	c.Env = setEnv(c.Env, "PYTHONHASHSEED", "0")
	c.Mounts = append(c.Mounts, b.Mounts...)
	for _, manager := range packages {
		a := b.Access[manager]
		if caches(a) {
			c.Env = slices.DeleteFunc(c.Env, func(e string) bool {
				return strings.HasPrefix(e, "PIP_NO_CACHE_DIR=") || strings.HasPrefix(e, "UV_NO_CACHE=")
			})
			c.Args = slices.DeleteFunc(c.Args, func(arg string) bool { return arg == "--no-cache-dir" })
		}
		for _, e := range a.Env {
			name, value, _ := strings.Cut(e, "=")
			c.Env = setEnv(c.Env, name, value)
		}
		c.Mounts = append(c.Mounts, a.Mounts...)
	}
	c.Mounts = unique(c.Mounts)
	for i := range c.Mounts {
		if !installs {
			c.Mounts[i].Vars = nil
		}
	}
}

// caches says whether a package manager is lent a cache.
func caches(a Access) bool {
	return slices.ContainsFunc(a.Env, func(e string) bool {
		return strings.HasPrefix(e, "PIP_CACHE_DIR=") || strings.HasPrefix(e, "UV_CACHE_DIR=")
	})
}

// unique drops mounts whose target another one has already.
func unique(mounts []sandbox.Mount) []sandbox.Mount {
	seen := map[string]bool{}
	return slices.DeleteFunc(mounts, func(m sandbox.Mount) bool {
		was := seen[m.Target]
		seen[m.Target] = true
		return was
	})
}

// stepEnv is the image's environment with the two variables that every
// process is given.
func stepEnv(image []string, who layers.UserInfo) []string {
	env := slices.Clone(image)
	has := func(name string) bool {
		return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	}
	if !has("PATH") {
		env = append(env, "PATH="+defaultPath)
	}
	if !has("HOME") {
		env = append(env, "HOME="+who.Home)
	}
	return env
}

// RemoveArgs are the arguments of the sandbox's verb "remove".
type RemoveArgs struct {
	Paths []string `json:"paths"`
}
