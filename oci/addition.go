package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// An InstallReport tells how the distributions of an Install came about, if an
// earlier one with other requirements was there to start from.
type InstallReport struct {
	// Taken are those that were taken from it, as NAME==VERSION, and Installed
	// those that were installed now.
	Taken     []string `json:"taken,omitempty"`
	Installed []string `json:"installed,omitempty"`
	// Joint is why all were installed together instead.
	Joint string `json:"joint,omitempty"`
	// From, in an explanation, is how many distributions the earlier install has;
	// which of them stay is known when the installer has resolved.
	From int `json:"from,omitempty"`
}

// installing is what an execution that is an Install has of it.
type installing struct {
	args               []string
	file, requirements string
	key, family        string // family is all of the key but the requirements
	report             *InstallReport
}

// told is the report, nil if it says nothing.
func (i *installing) told() *InstallReport {
	if i.report.Joint == "" && len(i.report.Taken) == 0 {
		return nil
	}
	return i.report
}

// foresee tells what an Install that is not carried out would start from.
func (b *Builder) foresee(i *installing) *InstallReport {
	for _, e := range b.earlierInstalls(i.family) {
		if f, err := b.stored(b.storeKey(work{key: e.Key, runs: true})); err != nil || len(f.list) == 0 {
			continue
		}
		if _, err := takeApart(i.args, i.file, i.requirements); err != nil {
			return &InstallReport{Joint: err.Error()}
		}
		return &InstallReport{From: len(e.Pins)}
	}
	return nil
}

// Where an installer finds what only we tell it, and where pip writes what it
// did.
const (
	lentRequirements = "/run/kanso/requirements.txt"
	lentReport       = "/run/kanso/report"
	reportName       = "pip.json"
)

// installed does an Install: if there is an earlier one on the same layers, with
// the same command, it installs only what that one did not, else all.
func (b *Builder) installed(ctx context.Context, st *state, x execution) ([]made, error) {
	line, err := takeApart(x.args, x.install.file, x.install.requirements)
	if err != nil {
		if len(b.earlierInstalls(x.install.family)) > 0 && !b.NoCache {
			b.together(st, x, err)
		}
		return b.withIDs(ctx, st, x)
	}
	a := &addition{b: b, st: st, x: x, installLine: line}
	list, err := a.add(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil && list != nil {
		b.rememberInstall(x.install.family, earlierInstall{x.install.key, a.pins})
		return list, nil
	}
	if err != nil {
		b.together(st, x, err)
	}
	return a.all(ctx)
}

// together notes why all is installed together.
func (b *Builder) together(st *state, x execution, why error) {
	*x.install.report = InstallReport{Joint: why.Error()}
	b.noteIn(st, "install everything together: %v", why)
}

// addition is an Install that starts from an earlier one.
type addition struct {
	b  *Builder
	st *state
	x  execution
	installLine
	r        Runner
	pins     []pin    // what the image is to have
	replaced []string // distributions of the layers below that others take the place of
}

// add installs what earlier installs did not. Nil and no error is that there are
// none.
func (a *addition) add(ctx context.Context) (list []made, err error) {
	if a.b.NoCache || a.b.Runner == nil || len(a.b.earlierInstalls(a.x.install.family)) == 0 {
		return nil, nil
	}
	if a.r, err = a.b.Runner(ctx, a.b.IDs); err != nil || !a.r.CanKeep() {
		return nil, err
	}
	left := a.b.leftovers(a.st, a.r, a.x.install.family)
	if len(left) == 0 {
		return nil, nil
	}
	if err := a.resolve(ctx); err != nil {
		return nil, err
	}
	best, args := leftover{}, JoinArgs{}
	for _, l := range left {
		if now := compare(l.Pins, a.pins); len(now.Stay) > len(args.Stay) {
			best, args = l, now
		}
	}
	if len(args.Stay) == 0 {
		return nil, errors.New("an earlier install has nothing of it")
	}
	for _, name := range a.replaced {
		if slices.Contains(args.Add, name) {
			return nil, fmt.Errorf("%s replaces files of the layers below", name)
		}
	}
	return a.join(ctx, best, args)
}

// compare says what of an earlier install stays if others are to be there.
func compare(was, is []pin) JoinArgs {
	var args JoinArgs
	before := map[string]pin{}
	for _, p := range was {
		before[p.Name] = p
	}
	for _, p := range is {
		if old, ok := before[p.Name]; ok && p.same(old) {
			args.Stay = append(args.Stay, p.Name)
			delete(before, p.Name)
			continue
		}
		args.Add = append(args.Add, p.Name)
		if !p.Requested {
			args.Dependencies = append(args.Dependencies, p.Name)
		}
	}
	for name := range before {
		args.Leave = append(args.Leave, name)
	}
	slices.Sort(args.Leave)
	return args
}

// join installs what is to be added and puts it beside what stays.
func (a *addition) join(ctx context.Context, from leftover, args JoinArgs) ([]made, error) {
	e, release, err := a.b.earlier(ctx, a.r, from)
	if err != nil {
		return nil, err
	}
	defer release()
	args.Earlier = e
	report := a.x.install.report
	*report = InstallReport{}
	var add []pin
	for _, p := range a.pins {
		if slices.Contains(args.Add, p.Name) {
			add = append(add, p)
			report.Installed = append(report.Installed, p.String())
		} else {
			report.Taken = append(report.Taken, p.String())
		}
	}
	a.b.noteIn(a.st, "take %d distributions from an earlier install, install %d: %s", len(report.Taken), len(add), briefList(report.Installed))
	for _, f := range a.x.files {
		args.Files = append(args.Files, strings.TrimPrefix(f.Path, "/"))
	}
	x := a.x
	x.join = &args
	if x.known, err = from.made(); err != nil {
		return nil, err
	}
	x.args = a.onlyThese(add)
	x.mounts = []sandbox.Mount{{Kind: sandbox.MountFile, Target: lentRequirements, Mode: 0o444, Data: []byte(lines(a.lines, add, true))}}
	if !a.uv() {
		remove, err := a.b.hastened(a.st, &x)
		if err != nil {
			return nil, err
		}
		defer remove()
	}
	return a.b.attempt(ctx, a.st, x, a.b.IDs)
}

// briefList is a list in one line, for people.
func briefList(names []string) string {
	const most = 8
	switch n := len(names); {
	case n == 0:
		return "nothing"
	case n > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	}
	return strings.Join(names, ", ")
}

// onlyThese is the command that installs these pins from a file that is lent and
// nothing else; without any it does nothing.
func (a *addition) onlyThese(pins []pin) []string {
	if len(pins) == 0 {
		return []string{a.head[0], "--version"}
	}
	args := slices.Concat(a.head, a.options, []string{"--no-deps"})
	if a.uv() {
		args = append(args, "--no-build")
	}
	return append(args, "-r", lentRequirements)
}

func (a *addition) uv() bool { return a.head[0] == "uv" }

// resolve finds out what the installer would install, and changes nothing.
func (a *addition) resolve(ctx context.Context) (err error) {
	var out bytes.Buffer
	if !a.uv() {
		args := slices.Concat(a.head, []string{"--dry-run", "--quiet", "--report", "-"}, a.x.args[len(a.head):])
		if err := a.ask(ctx, args, nil, &out, nil); err != nil {
			return fmt.Errorf("resolve: %w", err)
		}
		a.pins, err = pinsOfReport(out.Bytes())
		return err
	}
	if err := a.ask(ctx, slices.Concat(a.x.args, []string{"--dry-run"}), nil, &out, &out); err != nil {
		return fmt.Errorf("resolve: %w", err)
	}
	if a.pins, a.replaced, err = pinsOfUV(out.String()); err != nil {
		return err
	}
	return a.hash(ctx, a.pins)
}

// hash finds out the hashes of what uv installs.
func (a *addition) hash(ctx context.Context, pins []pin) error {
	if len(pins) == 0 {
		return nil
	}
	args := []string{"uv", "pip", "compile", "--quiet", "--no-deps", "--no-build", "--generate-hashes", "--no-header", "--no-annotate"}
	for _, o := range a.options {
		if !among(" --no-deps --upgrade -U --break-system-packages ", o) {
			args = append(args, o)
		}
	}
	var out bytes.Buffer
	file := sandbox.Mount{Kind: sandbox.MountFile, Target: lentRequirements, Mode: 0o444, Data: []byte(lines(a.lines, pins, false))}
	if err := a.ask(ctx, append(args, lentRequirements), []sandbox.Mount{file}, &out, nil); err != nil {
		return fmt.Errorf("find hashes: there is no wheel of one, or no answer: %w", err)
	}
	return addHashes(pins, out.String())
}

// ask runs a command for what it prints; what it changes is thrown away.
func (a *addition) ask(ctx context.Context, args []string, mounts []sandbox.Mount, stdout, stderr io.Writer) error {
	x := a.x
	x.args, x.mounts = args, mounts
	if !a.uv() {
		remove, err := a.b.hastened(a.st, &x)
		if err != nil {
			return err
		}
		defer remove()
	}
	cmd, release, err := a.b.prepared(ctx, a.st, x, a.r)
	if err != nil {
		return err
	}
	defer release()
	cmd.Discard, cmd.Stdout, cmd.Stderr = true, stdout, stderr
	return a.b.explained(cmd, a.r.Run(ctx, cmd))
}

// all installs everything and remembers what that was, if that can be told: then
// later installs can start from it.
func (a *addition) all(ctx context.Context) ([]made, error) {
	x := a.x
	if a.b.Runner == nil {
		return a.b.withIDs(ctx, a.st, x)
	}
	var err error
	if a.r, err = a.b.Runner(ctx, a.b.IDs); err != nil || !a.r.CanKeep() {
		return a.b.withIDs(ctx, a.st, x)
	}
	l := a.learner(ctx)
	defer l.close()
	if a.uv() {
		x.also, x.ended = &l.printed, l.begin
	} else {
		remove, err := a.reporting(&x, l)
		if err != nil {
			return nil, err
		}
		defer remove()
	}
	list, err := a.b.withIDs(ctx, a.st, x)
	if err != nil {
		return nil, err
	}
	if found := l.end(ctx); found.err == nil {
		a.pins, a.replaced = found.pins, found.replaced
		a.b.rememberInstall(a.x.install.family, earlierInstall{a.x.install.key, a.pins})
	} else if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return list, nil
}

// reporting makes pip write down what it installs, and faster. remove must be
// called when that was read.
func (a *addition) reporting(x *execution, l *learner) (remove func(), err error) {
	dir, err := os.MkdirTemp(a.b.Store.Scratch(), "report-")
	if err != nil {
		return nil, fmt.Errorf("make report: %w", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // the step may run as anybody; nobody else reaches it
		return nil, errors.Join(fmt.Errorf("make report: %w", err), os.RemoveAll(dir))
	}
	l.report = filepath.Join(dir, reportName)
	x.mounts = []sandbox.Mount{{Source: dir, Target: lentReport}}
	x.vars = []string{"PIP_REPORT=" + lentReport + "/" + reportName}
	end, err := a.b.hastened(a.st, x)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() { end(); _ = os.RemoveAll(dir) }, nil
}
