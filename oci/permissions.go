package oci

import (
	"context"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// permissions is a chmod or chown whose outcome is known without running it.
type permissions struct {
	recursive bool
	chmod     chmod
	chown     bool
	uid, gid  int      // of chown; -1 keeps what is there
	paths     []string // as they are given
	shell     bool     // a shell reads the command
	program   string
}

var (
	// plainWords are commands in which a shell finds nothing but words.
	plainWords = regexp.MustCompile(`^[A-Za-z0-9_./+=:, -]+$`)
	octalMode  = regexp.MustCompile(`^0?[0-7]{3}$`)
	// symbolicMode names whom it is for, or else the umask would count.
	symbolicMode = regexp.MustCompile(`^[ugoa]+([-+=][rwxX]+)+(,[ugoa]+([-+=][rwxX]+)+)*$`)
	numericOwner = regexp.MustCompile(`^([0-9]{1,9})?(:([0-9]{1,9}))?$`)
)

// permissionsOf reads a step. It is not ok for all but the simplest of commands,
// run by root without anything that could change what they mean.
func permissionsOf(st *state, r plan.Run, dir, user string) (p permissions, ok bool) {
	args := r.Args
	if len(args) == 3 && args[0] == "/bin/sh" && args[1] == "-c" && plainWords.MatchString(args[2]) {
		args, p.shell = strings.Fields(args[2]), true
	}
	if len(args) < 3 || !slices.Contains([]string{"", "0", "0:0", "root"}, user) || !path.IsAbs(dir) {
		return p, false
	}
	if len(r.Packages)+len(r.Mounts)+len(r.Lent) > 0 || r.Below != "" || st.config.OS != "linux" {
		return p, false
	}
	env := slices.Clone(st.config.Config.Env)
	for _, v := range r.Vars {
		env = append(env, v.Name+"="+v.Value)
	}
	for _, e := range append(env, r.Env...) {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "BASH_") || name == "ENV" {
			return p, false
		}
	}
	p.program, args = args[0], args[1:]
	if args[0] == "-R" {
		p.recursive, args = true, args[1:]
	}
	if len(args) < 2 || !p.reads(args[0]) {
		return p, false
	}
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "-") || !plainWords.MatchString(arg) || strings.Contains(arg, " ") || slices.Contains(strings.Split(arg, "/"), "..") {
			return p, false
		}
		if !path.IsAbs(arg) {
			arg = path.Join(dir, arg)
		}
		p.paths = append(p.paths, strings.TrimPrefix(path.Clean(arg), "/"))
	}
	return p, true
}

// reads reads the mode or the owner.
func (p *permissions) reads(arg string) bool {
	switch p.program {
	case "chmod":
		if !octalMode.MatchString(arg) && !symbolicMode.MatchString(arg) {
			return false
		}
		var err error
		p.chmod, err = parseChmod(arg)
		return err == nil
	case "chown":
		m := numericOwner.FindStringSubmatch(arg)
		if m == nil || arg == "" || arg == ":" {
			return false
		}
		p.chown, p.uid, p.gid = true, -1, -1
		if m[1] != "" {
			p.uid, _ = strconv.Atoi(m[1]) // digits, and few
		}
		if m[3] != "" {
			p.gid, _ = strconv.Atoi(m[3])
		}
		return !strings.HasSuffix(arg, ":") // which means the user's own group
	}
	return false
}

// apply is an entry as the command leaves it. It is not ok if that depends on
// more than we know: on the program, on rights, on what the kernel drops.
func (p *permissions) apply(e layers.Entry) (out layers.Entry, ok bool) {
	if e.HardLink || len(e.Xattrs) > 0 || e.Mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		return e, false
	}
	switch e.Mode.Type() {
	case fs.ModeSymlink: // left alone by chmod -R; programs differ in what chown does
		return e, !p.chown
	case fs.ModeDir, 0:
	default:
		return e, false
	}
	if !p.chown {
		e.Mode = p.chmod.apply(e.Mode)
		return e, true
	}
	if p.uid >= 0 {
		e.UID = p.uid
	}
	if p.gid >= 0 {
		e.GID = p.gid
	}
	return e, true
}

// settled carries a chmod or chown out without running it, if its outcome is
// known for certain; else it is not done. The answer, too, depends on the plan and
// on what is in the image, never on what this machine has.
func (b *Builder) settled(ctx context.Context, st *state, r plan.Run, x execution) (done bool, err error) {
	p, ok := permissionsOf(st, r, x.dir, x.user)
	if !ok || st.missedRun {
		return false, nil
	}
	ours := st.seen.written()
	if len(ours) == 0 || len(ours) == len(st.seen.stack) || !b.usual(ctx, st, &p, ours) {
		return false, nil
	}
	view, ok := b.known(ctx, st, p.paths, ours)
	if !ok {
		return false, nil
	}
	if e, ok := view.Lstat(x.dir); !ok || !e.Mode.IsDir() || "/"+e.Path != path.Clean(x.dir) {
		return false, nil
	}
	sp := &spool{dir: b.Store.Scratch()}
	defer sp.close()
	c := &changing{b: b, ctx: ctx, st: st, p: &p, view: view, ours: ours, set: entries{}, spool: sp}
	for _, name := range p.paths {
		if !c.below(name) {
			return false, nil
		}
	}
	for _, name := range sortedNames(c.set) {
		st.parents(c.set, view, name, b)
	}
	return true, b.filesLayers(ctx, st, work{step: x.step, kind: x.kind}, c.set)
}

// changing collects what a command changes.
type changing struct {
	b     *Builder
	ctx   context.Context //nolint:containedctx // of what opens files later
	st    *state
	p     *permissions
	view  *layers.View
	ours  []seenLayer
	set   entries
	spool *spool
}

// below adds what the command changes at a path.
func (c *changing) below(name string) bool {
	top, ok := c.view.Lstat(name)
	if !ok || top.Path != name || top.Mode&fs.ModeSymlink != 0 {
		return false
	}
	list := []layers.Entry{top}
	if c.p.recursive && top.Mode.IsDir() {
		list = append(list, c.view.Below(name)...)
	}
	for _, e := range list {
		was, changed := c.set[e.Path]
		if changed { // by a path before this one
			e.Mode, e.UID, e.GID = was.Mode, was.UID, was.GID
		}
		out, ok := c.p.apply(e)
		if !ok {
			return false
		}
		if out.Mode == e.Mode && out.UID == e.UID && out.GID == e.GID {
			continue
		}
		if !c.put(e, out) {
			return false
		}
	}
	return true
}

// put adds an entry with the content that it has in one of our layers.
func (c *changing) put(e, out layers.Entry) bool {
	f := entry{File: fileOf(out)}
	if e.Mode.IsRegular() {
		if e.List == 0 || e.Sum == "" {
			return false // the base has it
		}
		f.content, f.sum = e.Sum, e.Sum
		if l := c.ours[e.List-1].laid; l.Layer != nil {
			id, from := l.diffID.String(), e.From
			c.spool.want(id, from, l.Uncompressed)
			f.Open = func() (io.ReadCloser, error) { return c.spool.open(c.ctx, id, from) }
		}
	}
	c.set[e.Path] = f
	return true
}

// written are the topmost layers, bottom first, that steps wrote of which
// everything is known: no process made them.
func (o *outlook) written() []seenLayer {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := len(o.stack)
	for first > 0 && o.stack[first-1].known != nil {
		first--
	}
	return slices.Clone(o.stack[first:])
}

// known is a view of paths as the image has them: below the layers that we wrote
// a sketch tells, which needs no layer of an image that was built before. It is
// not ok if a sketch cannot tell.
func (b *Builder) known(ctx context.Context, st *state, paths []string, ours []seenLayer) (*layers.View, bool) {
	at := len(st.seen.stack) - len(ours)
	var under layers.Listing
	for _, p := range paths {
		if p == "" || standard("/"+p) {
			return nil, false
		}
		s, ok := b.sketchAt(ctx, st, sketch{At: at, Path: p}, func(view *layers.View) (sketch, bool) { return sketchOf(view, 0, p) })
		if !ok {
			return nil, false
		}
		under.Entries = append(under.Entries, s.Entries...)
	}
	lists := []layers.Listing{under}
	for _, l := range ours {
		lists = append(lists, *l.known)
	}
	return layers.NewView(lists), true
}

// usual says whether the command's program, and the shell that reads it, are
// what every distribution has, and none of our layers comes near them.
func (b *Builder) usual(ctx context.Context, st *state, p *permissions, ours []seenLayer) bool {
	search := defaultPath
	for _, e := range st.config.Config.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			search = value
		}
	}
	tops := []string{"bin", "sbin", "usr", "lib", "lib32", "lib64", "libx32", "etc", "dev", "proc", "sys", "nix"}
	for dir := range strings.SplitSeq(search, ":") {
		if !path.IsAbs(dir) {
			return false
		}
		top, _, _ := strings.Cut(strings.TrimPrefix(path.Clean(dir), "/"), "/")
		tops = append(tops, top)
	}
	for _, l := range ours {
		for _, e := range l.known.Entries {
			if top, _, _ := strings.Cut(e.Path, "/"); slices.Contains(tops, top) {
				return false
			}
		}
	}
	at := len(st.seen.stack) - len(ours)
	s, ok := b.sketchAt(ctx, st, sketch{At: at, Path: p.program, Which: search}, func(view *layers.View) (sketch, bool) {
		return sketch{Path: p.program, Which: search, Entries: which(view, p.program, search)}, true
	})
	return ok && len(s.Entries) == 2 && slices.Contains(programs(p.program), s.Entries[0].Path) && (!p.shell || slices.Contains(programs("sh"), s.Entries[1].Path))
}

// programs are where distributions have a program, links followed.
func programs(name string) []string {
	var all []string
	for _, dir := range []string{"bin/", "usr/bin/", "sbin/", "usr/sbin/"} {
		for _, file := range []string{name, "busybox", "coreutils"} {
			all = append(all, dir+file)
		}
		if name == "sh" {
			all = append(all, dir+"dash", dir+"bash")
		}
	}
	return all
}

// which finds a program in a search path, and the shell: where they really lie.
func which(view *layers.View, program, search string) []layers.Entry {
	look := func(p string) (layers.Entry, bool) {
		at, err := view.Resolve(p)
		if err != nil {
			return layers.Entry{}, false
		}
		e, ok := view.Lstat(at)
		return layers.Entry{Path: e.Path}, ok && e.Mode.IsRegular() && e.Mode&0o111 != 0
	}
	shell, _ := look("/bin/sh")
	for dir := range strings.SplitSeq(search, ":") {
		if e, ok := look(path.Join(dir, program)); ok {
			return []layers.Entry{e, shell}
		}
	}
	return nil
}
