package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
)

// explainFlags ask what would be made, and why.
type explainFlags struct {
	on          bool
	tag         string
	compression string
	remember    rememberFlags
}

func (e *explainFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&e.on, "explain", false, "say for each step whether its layer is there and from where, what changed since the last build if it is not, and what would be sent")
	f.StringVarP(&e.tag, "tag", "t", "", "with --explain: what the image is to be pushed as, `NAME[:TAG]`")
	f.StringVar(&e.compression, "compression", "gzip", "with --explain: as for build, `NAME[:LEVEL]`")
	e.remember.add(c)
}

// An explanation is what building an image would do.
type explanation struct {
	Steps []oci.StepReport `json:"steps"`
	// Send are the bytes of layers that are there and that the registry does
	// not have; all of them if no name was given.
	Send int64 `json:"send"`
	// Make are the bytes of files in layers that are to be made, before they
	// are compressed.
	Make int64 `json:"make"`
	// More says that steps have to run, which may add any number.
	More bool `json:"more,omitempty"`
}

// imageName tells images apart that are built with one cache, for saying what
// changed since the last build.
func imageName(root, key string, d dockerfileFlags) string {
	return strings.Join([]string{root, key, d.file, d.target}, "\n")
}

// explain finds out what building an image would do. Layers that a step has to
// see are read, as a build would.
func (a *app) explanation(ctx context.Context, e explainFlags, d dockerfileFlags, client *oci.Client, dir *cache.Dir, r resolve.Result, i resolve.Image) (*explanation, error) {
	packing, err := layers.ParseCompression(e.compression)
	if err != nil {
		return nil, usagef("--compression: %w", err)
	}
	date, err := a.env.sourceDate()
	if err != nil {
		return nil, err
	}
	t := &target{Image: i}
	if e.tag != "" {
		tag, err := client.ParseTag(e.tag)
		if err != nil {
			return nil, usagef("--tag: %w", err)
		}
		t.tags = []name.Tag{tag}
	}
	project, err := projectOf(r.Context, dir.Scratch())
	if err != nil {
		return nil, err
	}
	b := oci.Builder{
		Project: project, Egress: d.egress(),
		Context: r.Context, Contexts: i.Contexts, Client: client, Store: dir, StepEnv: i.StepEnv, Time: date, Created: date,
		Compression: packing, Name: imageName(r.Context, i.Key, d), Remembered: e.remember.memory(client, t, true), Now: now,
	}
	out := &explanation{}
	if out.Steps, err = b.Explain(ctx, i.Plan); err != nil {
		return nil, err
	}
	return out, out.count(ctx, client, t.tags)
}

// count adds up what is to be sent.
func (x *explanation) count(ctx context.Context, client *oci.Client, tags []name.Tag) error {
	var there []v1.Hash
	sizes := map[v1.Hash]int64{}
	for _, s := range x.Steps {
		x.Make += s.Bytes
		x.More = x.More || s.Unknown || s.Key != "" && !s.Cached && s.Bytes == 0
		if s.From != "" {
			continue
		}
		for _, l := range s.Made() {
			h, err := v1.NewHash(l.Digest)
			if err != nil {
				return err
			}
			there = append(there, h)
			sizes[h] = l.Size
		}
	}
	missing := map[v1.Hash]bool{}
	for _, h := range there {
		missing[h] = true
	}
	if len(tags) > 0 && len(there) > 0 {
		var err error
		if missing, err = client.Missing(ctx, tags[0].Repository, there); err != nil {
			return err
		}
	}
	for h, size := range sizes {
		if missing[h] {
			x.Send += size
		}
	}
	return nil
}

// write prints an explanation for people.
func (x *explanation) write(w io.Writer) {
	for _, s := range x.Steps {
		switch {
		case s.Unknown:
			fmt.Fprintf(w, "# miss  %s: depends on a step that must run first\n", s.Step)
		case s.Key == "":
			continue
		case s.Cached && s.From != "":
			fmt.Fprintf(w, "# hit   %s: in %s\n", s.Step, s.From)
		case s.Cached:
			fmt.Fprintf(w, "# hit   %s: in the cache, %s\n", s.Step, size(s.Size))
		case len(s.Changed) > 0:
			fmt.Fprintf(w, "# miss  %s: changed since the last build: %s\n", s.Step, someOf(s.Changed))
		default:
			fmt.Fprintf(w, "# miss  %s: not built before\n", s.Step)
		}
		switch i := s.Install; {
		case i == nil:
		case i.Joint != "":
			fmt.Fprintf(w, "#       everything is installed together: %s\n", i.Joint)
		case i.From > 0:
			fmt.Fprintf(w, "#       starts from an earlier install of %d distributions\n", i.From)
		}
	}
	fmt.Fprintf(w, "# to send: %s", size(x.Send))
	if x.Make > 0 {
		fmt.Fprintf(w, ", and %s of files before they are compressed", size(x.Make))
	}
	if x.More {
		fmt.Fprint(w, ", and what steps that must run make")
	}
	fmt.Fprintln(w)
}

// someOf are the first of many names.
func someOf(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
