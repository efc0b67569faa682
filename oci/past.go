package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/secrets"
	"github.com/kanso-build/kanso/resolve/plan"
)

// Builds as a whole are remembered: a build of the same plan, on the same bases and
// with the same files, by the same program, gives the image that the earlier one
// gave. It is believed only where a registry says that the tag is that image, so
// that no layer is needed; everything else goes the ordinary way, from step to step.

// buildsKind is the kind of value under which the store keeps what builds gave, by
// all that they depend on.
const buildsKind = "builds-1"

// believed is how long a build is remembered. Then it is done again, which tells the
// store that its layers are in use.
const believed = 24 * time.Hour

// builtBefore is what is kept of a build.
type builtBefore struct {
	Digest v1.Hash           `json:"digest"`
	Steps  []StepReport      `json:"steps"`
	Found  []secrets.Finding `json:"found,omitempty"`
	Built  time.Time         `json:"built"`
}

// A pastBuild is what is remembered of a build that is about to begin.
type pastBuild struct {
	key   string // of the build; empty if it is not to be remembered
	image *Image // nil if it has to be done
}

// recall looks for an earlier build that gave what this one would. Nothing that goes
// wrong here is told: who carries the plan out finds the same, and says where.
func (b *Builder) recall(ctx context.Context, p plan.Plan) pastBuild {
	if len(b.Tags) == 0 || b.Version == "" || b.NoCache || b.ReportCopied || !recallable(p) {
		return pastBuild{}
	}
	bases, k, ok := b.planKey(ctx, p)
	if !ok {
		return pastBuild{}
	}
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			if c, ok := step.(plan.Copy); ok && !b.filesKnown(ctx, k, c) {
				return pastBuild{}
			}
		}
	}
	past := pastBuild{key: k.sum()}
	data, ok, err := b.Store.Value(buildsKind, past.key)
	if err != nil || !ok {
		return past
	}
	var was builtBefore
	if json.Unmarshal(data, &was) == nil && b.now().Sub(was.Built) < believed {
		past.image = b.again(ctx, p, was, bases)
	}
	return past
}

// recallable says whether all that a plan depends on is known before it is carried
// out. What other images have, servers and repositories is not; what a command is
// lent is in no key.
func recallable(p plan.Plan) bool {
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			for _, from := range sources(step) {
				if from.Image != "" || from.URL != "" || from.Git != "" {
					return false
				}
			}
			if c, ok := step.(plan.Copy); ok && len(c.Exclude) > 0 {
				return false // its files need not be read
			}
			if r, ok := step.(plan.Run); ok && slices.ContainsFunc(r.Mounts, func(m plan.Mount) bool { return m.Type == plan.MountBind && m.From.Stage == "" }) {
				return false
			}
		}
	}
	return true
}

// planKey begins the key of a build: with the plan, and with all of the builder
// that layers or the configuration depend on.
func (b *Builder) planKey(ctx context.Context, p plan.Plan) (bases []Base, k *key, ok bool) {
	data, err := json.Marshal(p)
	if err != nil || bytes.Contains(data, []byte(`\ufffd`)) { // something that JSON cannot say
		return nil, nil, false
	}
	k = newKey("build").add("program", b.Version).add("plan", string(data)).add("project", b.Project).
		add("time", b.time().String()).add("created", b.Created.UTC().String()).
		add("compression", b.Compression.String()).add("format", b.Format).
		add("egress", append([]string{b.Egress.Network}, b.Egress.Allow...)...).
		add("secrecy", append([]string{strconv.FormatBool(b.Secrecy.Stop)}, b.Secrecy.Allow...)...)
	for _, name := range slices.Sorted(maps.Keys(b.Annotations)) {
		k.add("annotation", name, b.Annotations[name])
	}
	if b.Remembered != nil {
		k.add("remembered", b.Remembered.Refs...)
	}
	for _, s := range p.Stages {
		var base Base
		if s.BaseStage == "" {
			if base, err = b.Client.Base(ctx, s.Base, s.Platform); err != nil {
				return nil, nil, false
			}
		}
		k.add("base", base.Ref, base.Name, base.Digest.String(), base.Platform.String())
		bases = append(bases, base)
	}
	return bases, k, true
}

// filesKnown adds the files of a context that a step has. If the build has to be
// done it is done with what was seen here, unless a process was started meanwhile.
func (b *Builder) filesKnown(ctx context.Context, k *key, c plan.Copy) bool {
	if c.From.Stage != "" || len(c.From.Inline) > 0 {
		return true
	}
	dir, err := b.contextDir(c.From)
	if err != nil {
		return false
	}
	at := glanceOf(dir, c.Files, c)
	if len(c.Patterns) == 0 && c.From.Context == "" {
		list, err := b.described(ctx, c)
		if err != nil {
			return false
		}
		for i, e := range list {
			k.add("file", c.Files[i], e.Mode.String(), e.Link, e.content)
		}
		b.glances.Store(at, list)
		return true
	}
	t, err := b.openContext(dir, c)
	if err != nil {
		return false
	}
	defer t.root.Close()
	if t.glance, err = t.look(ctx, c.Files); err != nil {
		return false
	}
	if err := t.hashAll(ctx); err != nil {
		return false
	}
	for i, e := range t.list.Entries {
		k.add("file", e.Path, e.Mode.String(), e.Link, strconv.FormatBool(e.HardLink), t.sums[i], t.xattrs[i][layers.CapabilityXattr])
		if e.Major != 0 || e.Minor != 0 {
			k.add("device", strconv.FormatInt(e.Major, 10), strconv.FormatInt(e.Minor, 10))
		}
	}
	b.glances.Store(at, t.glance)
	return true
}

// again is the image of an earlier build, if it is where this one's goes; nil if it
// is not.
func (b *Builder) again(ctx context.Context, p plan.Plan, was builtBefore, bases []Base) *Image {
	for _, t := range b.Tags {
		if !b.Client.tagged(ctx, t, was.Digest) {
			return nil
		}
	}
	there, err := b.Client.Base(ctx, b.Tags[0].Digest(was.Digest.String()).Name(), "")
	if err != nil || there.Digest != was.Digest {
		return nil
	}
	b.keepLast(was.Steps)
	out := &Image{Image: there.Image, Base: baseOf(p, bases), Steps: was.Steps, Found: was.Found}
	for _, base := range bases {
		if base.Ref != Scratch && base.Ref != "" && !slices.ContainsFunc(out.Bases, func(o Base) bool { return o.Ref == base.Ref && o.Digest == base.Digest }) {
			out.Bases = append(out.Bases, base)
		}
	}
	return out
}

// baseOf is what the last stage stands on.
func baseOf(p plan.Plan, bases []Base) Base {
	at := len(p.Stages) - 1
	for p.Stages[at].BaseStage != "" {
		at = slices.IndexFunc(p.Stages, func(s plan.Stage) bool { return s.Name == p.Stages[at].BaseStage })
	}
	return bases[at]
}

// rememberBuild notes what a build gave, for the next one that would give the same.
// What was said on the way about the plan has to be said again, so that such a build
// is not remembered. That it cannot be noted is no error.
func (b *Builder) rememberBuild(past pastBuild, img *Image) {
	if past.key == "" || b.unlike.Load() {
		return
	}
	digest, err := img.Digest()
	if err != nil {
		return
	}
	was := builtBefore{Digest: digest, Found: img.Found, Built: b.now()}
	for _, r := range img.Steps {
		r.Cached, r.Install, r.Duration = r.Key != "", nil, 0
		was.Steps = append(was.Steps, r)
	}
	data, err := json.Marshal(was)
	if err == nil {
		err = b.Store.PutValue(buildsKind, past.key, data)
	}
	b.noteError("note what a build gave", err)
}
