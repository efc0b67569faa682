package oci

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/secrets"
)

// state is a stage between two steps: the configuration so far and the layers.
type state struct {
	base    Base
	config  *v1.ConfigFile
	layers  []laid
	own     int                    // how many of layers, from the bottom, are the base's
	split   int                    // how many of them are those of steps that made several
	dirs    map[string]layers.File // directories that our own steps wrote, by path
	reports []StepReport
	copied  []CopyReport
	ran     int
	created v1.Time

	startInterval time.Duration // of the health check: config has no place for it

	dry    bool // explain only
	course *course
	stage  *running // nil outside of a course, like that
	at     int      // the number of the step under way, from 0
	wild   bool     // steps of somebody else's were carried out, see [wild]
	held   *held    // of a guess, see [early.guess]; else nil
	seen   *outlook
	drawn  []sketch            // that the step under way asked for
	parts  map[string]keyParts // by step's key

	found []secrets.Finding // in the layers that steps made

	missed, missedRun bool // explain only: a layer, or one that a process makes, is not there
}

// outlook is what the layers of a state show. It is brought up to date when
// somebody looks.
type outlook struct {
	mu    sync.Mutex
	stack []seenLayer // all layers, bottom first, and in an explanation those that would be there
	view  *layers.View
	next  int // what of stack is not in view yet
}

// seenLayer is a layer of an outlook.
type seenLayer struct {
	laid laid
	list *layers.Listing // nil if it is to be looked up
	// known is the list of a layer that a step wrote; nil for those of a base and
	// of a process.
	known *layers.Listing
}

// laid is a layer in its place.
type laid struct {
	v1.Layer
	diffID v1.Hash
	ran    bool // made by a process, so it may hold anything
	above  int  // how many layers of the same step lie on it
}

func newState(base Base, created time.Time) (*state, error) {
	cfg, err := base.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration of base %s: %w", base.Ref, err)
	}
	ls, err := base.Image.Layers()
	if err != nil {
		return nil, fmt.Errorf("read layers of base %s: %w", base.Ref, err)
	}
	if len(ls) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("base %s: %d layers but %d diff ids", base.Ref, len(ls), len(cfg.RootFS.DiffIDs))
	}
	st := &state{base: base, config: cfg.DeepCopy(), own: len(ls), dirs: map[string]layers.File{}, created: cfg.Created, seen: &outlook{}, parts: map[string]keyParts{}}
	switch {
	case !created.IsZero():
		st.created = v1.Time{Time: created.UTC()}
	case cfg.Created.IsZero(): // of nothing, or of who does not say
		st.created = v1.Time{Time: time.Unix(0, 0).UTC()}
	}
	if cfg.Config.Healthcheck != nil {
		raw, err := base.Image.RawConfigFile()
		if err != nil {
			return nil, fmt.Errorf("read configuration of base %s: %w", base.Ref, err)
		}
		if st.startInterval, err = startInterval(raw); err != nil {
			return nil, fmt.Errorf("base %s: %w", base.Ref, err)
		}
	}
	entries, _ := entriesIn(cfg)
	for i, l := range ls {
		at := laid{Layer: l, diffID: cfg.RootFS.DiffIDs[i]}
		if i < len(entries) {
			at.above = entries[i].of - entries[i].part
		}
		st.layers = append(st.layers, at)
		st.seen.stack = append(st.seen.stack, seenLayer{laid: at})
	}
	st.completeHistory()
	// What described the base's own build says nothing of this image.
	st.config.Container = ""
	st.config.DockerVersion = "" //nolint:staticcheck // nobody else should read it either
	st.config.Created = st.created
	return st, nil
}

// completeHistory gives every layer of the base an entry; some registries and
// services refuse images in which the two differ.
func (st *state) completeHistory() {
	n := 0
	for _, h := range st.config.History {
		if !h.EmptyLayer {
			n++
		}
	}
	for ; n < st.own; n++ {
		st.config.History = append(st.config.History, v1.History{Created: st.config.Created, CreatedBy: "layer of the base"})
	}
}

// fork is the state as the one that another stage begins with.
func (st *state) fork(r *running) *state {
	c := *st
	c.stage, c.wild, c.seen = r, true, st.seen.fork()
	c.config = st.config.DeepCopy()
	c.layers, c.found = slices.Clone(st.layers), slices.Clone(st.found)
	c.dirs = map[string]layers.File{}
	for k, v := range st.dirs {
		c.dirs[k] = v
	}
	c.reports, c.copied, c.drawn, c.ran, c.parts = nil, nil, nil, 0, map[string]keyParts{}
	return &c
}

func (o *outlook) fork() *outlook {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := &outlook{stack: slices.Clone(o.stack), next: o.next}
	if o.view != nil {
		c.view = o.view.Clone()
	}
	return c
}

// add puts the layers of a step on top, with their entries in the history. The
// step's key stands in the entries, so that the pushed image can serve as the
// cache.
func (st *state) add(w work, list []foundLayer) {
	for i, l := range list {
		at := laid{Layer: l.Layer, diffID: l.diffID, ran: w.runs, above: len(list) - 1 - i}
		st.layers, st.found = append(st.layers, at), append(st.found, l.found...)
		seen := seenLayer{laid: at}
		if len(list) == 1 {
			seen.known = w.list
		}
		if st.wild {
			seen.list = seen.known // somebody will look
		}
		st.seen.stack = append(st.seen.stack, seen)
		st.config.RootFS.DiffIDs = append(st.config.RootFS.DiffIDs, l.diffID)
		st.config.History = append(st.config.History, v1.History{
			Created: st.created, CreatedBy: createdBy(w.step, l.name), Comment: st.keyedComment(w.key, partOf(list, i)),
		})
	}
	if len(list) > 1 {
		st.split += len(list)
	}
}

// diffIDs are those of all layers, bottom first.
func (st *state) diffIDs() []string {
	ids := make([]string, len(st.layers))
	for i, l := range st.layers {
		ids[i] = l.diffID.String()
	}
	return ids
}

// setEnv sets a variable in its place, or else at the end.
func setEnv(env []string, name, value string) []string {
	for i, e := range env {
		if n, _, _ := strings.Cut(e, "="); n == name {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

// image is the state as an image. Names and digests of the base stand in the
// annotations, where OCI has them; a base from an archive has no name.
func (st *state) image(format string, more map[string]string) (v1.Image, error) {
	if format == "" {
		var err error
		if format, err = formatOf(st.base.Image); err != nil {
			return nil, err
		}
	}
	annotations := map[string]string{}
	if st.base.Name != "" {
		annotations["org.opencontainers.image.base.name"] = st.base.Name
	}
	if st.base.Digest != (v1.Hash{}) {
		annotations["org.opencontainers.image.base.digest"] = st.base.Digest.String()
	}
	maps.Copy(annotations, more)
	ls := make([]v1.Layer, len(st.layers))
	for i, l := range st.layers {
		ls[i] = l.Layer
	}
	if st.stage != nil && len(st.stage.Lines) > 0 {
		likeBuildKit(st.config)
	}
	config, err := encodeConfig(st.config, st.startInterval)
	if err != nil {
		return nil, fmt.Errorf("encode image configuration: %w", err)
	}
	return assemble(st.config, config, ls, format, cloneMap(annotations))
}
