package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/layers/secrets"
	"github.com/kanso-build/kanso/resolve/plan"
)

// ErrNoRunner is wrapped by the error for a step that must run where nothing
// can run it.
var ErrNoRunner = errors.New("no way to run a step here")

// A Builder carries out plans. Context, Client and Store are required.
type Builder struct {
	// Context is the host directory that the files of Copy steps are in.
	Context string
	// Client gets bases.
	Client *Client
	// Store keeps layers between builds.
	Store Store
	// Runner opens the sandbox; it is called when the first step must run and
	// once more with other ids if these do not suffice. Nil runs nothing.
	Runner func(ctx context.Context, ids sandbox.IDs) (Runner, error)
	// IDs says which ids steps have; empty means one, and more on a retry.
	IDs sandbox.IDs
	// Access is what package managers are lent, by the names of [plan.Run].
	Access map[string]Access
	// StepEnv has the values of the variables that Install and Run steps name.
	StepEnv map[string]string
	// Mounts are lent to every step that runs: secrets.
	Mounts []sandbox.Mount
	// Contexts are the directories of further build contexts, by the names
	// that plans have for them.
	Contexts map[string]string
	// Secrets are files of the host's, by the ids that secret mounts name.
	Secrets map[string]string
	// Agents are sockets of ssh agents, by the ids that ssh mounts name.
	Agents map[string]string
	// Git checks a repository out, "URL[#REF[:DIR]]", into an empty directory and
	// returns the commit; nil refuses sources that need it.
	Git func(ctx context.Context, source, dir string, keepGit bool) (commit string, err error)
	// Max bounds what is accepted of archives that a step unpacks, and of
	// downloads; zero fields are our defaults.
	Max layers.Limits
	// Time is the modification time of every file; zero is 1980-01-01, the
	// earliest that zip files can say.
	Time time.Time
	// Created stands in the image and its history; zero is the base's, or 1970 if
	// it has none: what is built twice is the same both times.
	Created time.Time
	// Compression is how layers are compressed.
	Compression layers.Compression
	// Format is "docker", "oci", or empty for that of the base.
	Format string
	// Egress says what of the network steps have.
	Egress Egress
	// Secrecy says what becomes of what looks like a secret in a layer.
	Secrecy Secrecy
	// Annotations are added to the manifest's; they need the media types of OCI.
	Annotations map[string]string
	// NoCache makes every layer again.
	NoCache bool
	// ReportCopied fills [Image.Copied], which takes a look at every file.
	ReportCopied bool
	// Project says whose build it is. What its steps left in the store, layers that
	// a process made and what its caches hold, is found by its builds only: what
	// a process makes depends on more than its key says, on what an index or a
	// cache gave it.
	Project string
	// Name tells the image from others that are built with the same store, for
	// saying what changed since it was built last.
	Name string
	// Remembered has layers that the store does not have; nil has none.
	Remembered *Memory
	// Ahead sends layers while later ones are made; before the first one is made
	// it says whether that may be. Nil sends nothing.
	Ahead *Ahead
	// Output takes what steps print; nil drops it.
	Output io.Writer
	// Progress is told what goes on; it may be nil.
	Progress Progress
	// Tags are where the image goes, if it goes nowhere else and nothing beside it: a
	// build that was done before is not done again if its image is there. None has
	// every build done.
	Tags []name.Tag
	// Version tells programs apart that may make different images of one plan; empty
	// has every build done.
	Version string
	// Now is the clock that steps are timed with; nil times nothing.
	Now func() time.Time

	forwarders sync.Map // of steps under way, *forwarder by the directory of their socket
	packer     layers.Packer
	buffers    sync.Pool   // *[]byte that files are hashed through, so that they are no garbage
	prints     prints      // of contents that were hashed
	glances    sync.Map    // of files of contexts that were looked at before the build, by [glanceKey]: *glance, or []entry for steps without patterns
	running    atomic.Bool // a process was started, which takes time
	unlike     atomic.Bool // the build cannot be remembered: files changed meanwhile, or something was said that has to be said again
}

// An Image is what a plan was made into. Its layers are read from the store or
// from where the base came from, when they are read.
type Image struct {
	v1.Image
	// Base is what the image stands on.
	Base Base
	// Steps tells of every step of the stages that were needed, in order.
	Steps []StepReport
	// Found are the places of what looks like secrets in the layers that steps
	// made, but for those that are allowed.
	Found []secrets.Finding
	// Ran counts the steps that started a process, in all stages.
	Ran int
	// Bases are all images that were built on or copied from, in the order of the
	// plan, each once.
	Bases []Base
	// Copied tells of every Copy step, if the builder was asked to.
	Copied []CopyReport
}

// A StepReport tells what became of a step.
type StepReport struct {
	Stage   string        `json:"stage,omitempty"` // if there are several
	Step    string        `json:"step"`
	Kind    string        `json:"kind"`
	Key     string        `json:"key,omitempty"`     // empty for Set steps
	Cached  bool          `json:"cached,omitempty"`  // the layers were there
	From    string        `json:"from,omitempty"`    // the image that has them, if this machine has not
	Unknown bool          `json:"unknown,omitempty"` // in an explanation: depends on a step that must run first
	DiffID  string        `json:"diff_id,omitempty"` // of the layer, if it is one
	Digest  string        `json:"digest,omitempty"`
	Size    int64         `json:"size,omitempty"`    // compressed, in bytes, of all layers
	Layers  []LayerReport `json:"layers,omitempty"`  // if there are several, bottom first
	Bytes   int64         `json:"bytes,omitempty"`   // in an explanation: of the contents of a layer that is not there
	Changed []string      `json:"changed,omitempty"` // in an explanation: what of the key is not as in the last build
	// Install tells of an Install that had an earlier one to start from.
	Install  *InstallReport `json:"install,omitempty"`
	Duration time.Duration  `json:"duration_ns,omitempty"`
}

// Build carries out a plan. The image of the last stage is returned; it has to
// be pushed or written to be anywhere.
func (b *Builder) Build(ctx context.Context, p plan.Plan) (*Image, error) {
	if err := b.checkFormat(ctx, p); err != nil {
		return nil, err
	}
	past := b.recall(ctx, p)
	if past.image != nil {
		return past.image, nil
	}
	states, err := b.carryOut(ctx, p, false)
	if err != nil {
		return nil, err
	}
	if err := b.Store.Flush(); err != nil {
		b.note("remember file hashes: %v", err)
	}
	b.keepParts(states)
	b.keepLast(reports(states))
	st := states[len(states)-1]
	if err := b.judge(st); err != nil {
		return nil, err
	}
	img, err := b.image(p, st)
	if err != nil {
		return nil, err
	}
	out := &Image{Image: img, Base: st.base, Steps: reports(states), Found: b.Secrecy.unallowed(st.found)}
	for _, st := range states {
		out.Ran += st.ran
		out.Copied = append(out.Copied, st.copied...)
	}
	out.Bases = basesOf(states)
	b.rememberBuild(past, out)
	return out, nil
}

// image is the state as an image: the base as it is, if a plan adds nothing and
// asks for no other form.
func (b *Builder) image(p plan.Plan, st *state) (v1.Image, error) {
	if len(p.Stages) == 1 && len(p.Stages[0].Steps) == 0 && b.Format == "" && len(b.Annotations) == 0 && st.base.Digest != (v1.Hash{}) {
		return st.base.Image, nil
	}
	return st.image(b.Format, b.Annotations)
}

// Explain says what Build would do: for every step its key and whether its
// layer is there. Nothing is run and no layer is made. The keys of steps after
// one that must run are not known.
func (b *Builder) Explain(ctx context.Context, p plan.Plan) ([]StepReport, error) {
	states, err := b.carryOut(ctx, p, true)
	if err != nil {
		return nil, err
	}
	return b.compared(states), nil
}

// reports are those of all stages.
func reports(states []*state) []StepReport {
	var all []StepReport
	for _, st := range states {
		all = append(all, st.reports...)
	}
	return all
}

// step carries out a step. All that is found in its layers is told at once.
func (b *Builder) step(ctx context.Context, st *state, s plan.Step) error {
	err := b.carry(ctx, st, s)
	if err == nil && st.last() {
		err = b.judge(st)
	}
	return err
}

func (b *Builder) carry(ctx context.Context, st *state, s plan.Step) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	switch s := s.(type) {
	case plan.Set:
		st.set(s)
		st.report(StepReport{Step: s.String(), Kind: s.Kind()})
		return nil
	case plan.Write:
		return b.write(ctx, st, s)
	case plan.Copy:
		return b.copy(ctx, st, s)
	case plan.Install:
		return b.install(ctx, st, s)
	case plan.Run:
		return b.run(ctx, st, s)
	}
	return fmt.Errorf("unknown kind of step %T", s)
}

// work is a layer to be had, or several that belong together: from the store
// under its key, or by making it.
type work struct {
	step, kind, key string
	parts           keyParts // of the key
	make            func(ctx context.Context) ([]made, error)
	list            *layers.Listing // what is in its one layer; nil if that is not known before it is made
	runs            bool            // making it starts a process
	adopts          bool            // it depends on what such a process left
	install         *installing     // of an Install
	found           *foundLayers    // what was found, if somebody looked
}

// layer does a work and puts what it makes on top of the state.
func (b *Builder) layer(ctx context.Context, st *state, w work) error {
	start := b.now()
	r := StepReport{Step: w.step, Kind: w.kind, Key: w.key}
	st.parts[w.key] = w.parts
	if st.missed && w.runs || st.missedRun && w.adopts {
		r.Key, r.Unknown = "", true
		st.report(r)
		return nil
	}
	found, err := b.lookUp(ctx, st, w)
	if err != nil {
		return err
	}
	switch {
	case len(found.list) > 0:
		r.Cached, r.From = true, found.from
	case st.dry:
		b.missing(st, w, r)
		return nil
	default:
		if found, err = b.makeLayers(ctx, st, w); err != nil {
			return err
		}
	}
	if err := found.report(&r); err != nil {
		return err
	}
	r.Duration = b.since(start)
	if w.install != nil && !r.Cached {
		r.Install = w.install.told()
	}
	st.report(r)
	st.add(w, found.list)
	if st.last() && b.judge(st) == nil {
		b.Ahead.send(st.layers)
	}
	return nil
}

// missing tells of a work that, in an explanation, is not done.
func (b *Builder) missing(st *state, w work, r StepReport) {
	st.missed, st.missedRun = true, st.missedRun || w.runs
	if w.install != nil {
		r.Install = b.foresee(w.install)
	}
	if w.list != nil {
		st.seen.stack = append(st.seen.stack, seenLayer{list: w.list, known: w.list})
		for _, e := range w.list.Entries {
			r.Bytes += e.Size
		}
	}
	st.report(r)
}

// makeLayers does a work and keeps the layers that it makes.
func (b *Builder) makeLayers(ctx context.Context, st *state, w work) (foundLayers, error) {
	b.Ahead.Ask(ctx)
	if w.runs { // which takes long
		b.running.Store(true)
		if err := b.Ahead.Check(ctx); err != nil {
			return foundLayers{}, err
		}
	}
	b.noteIn(st, "%s", w.step)
	list, err := w.make(ctx)
	if err == nil {
		err = b.Ahead.Check(ctx)
	}
	if err != nil {
		return foundLayers{}, err
	}
	found, err := b.keep(b.storeKey(w), list)
	if err == nil && w.runs {
		st.ran++
	}
	return found, err
}

// report tells of a step.
func (st *state) report(r StepReport) {
	if st.stage != nil {
		r.Stage = st.stage.label
	}
	st.reports = append(st.reports, r)
}

// unknown tells of a step, in an explanation, that depends on one that must
// run first.
func (st *state) unknown(step plan.Step) {
	st.missed, st.missedRun = true, true
	st.report(StepReport{Step: fmt.Sprint(step), Kind: step.Kind(), Unknown: true})
}

func (b *Builder) time() time.Time {
	if b.Time.IsZero() {
		return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return b.Time.UTC().Truncate(time.Second)
}

func (b *Builder) now() time.Time {
	if b.Now == nil {
		return time.Time{}
	}
	return b.Now()
}

func (b *Builder) since(start time.Time) time.Duration { return b.now().Sub(start) }

func (b *Builder) note(format string, args ...any) {
	if b.Progress != nil {
		b.Progress.Note(fmt.Sprintf(format, args...))
	}
}

// brief is a step in at most 100 bytes, for errors.
func brief(s plan.Step) string {
	text := s.Kind()
	if str, ok := s.(fmt.Stringer); ok {
		text = str.String()
	}
	if len(text) > 100 {
		text = strings.ToValidUTF8(text[:97], "") + "..."
	}
	return text
}

// cloneMap is nil for an empty map, as encoding/json leaves one out.
func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
