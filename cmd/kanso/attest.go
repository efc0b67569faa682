package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// builderID is who answers for a build unless --builder-id says it.
const builderID = "https://github.com/kanso-build/kanso"

// attestFlags ask for documents that are attached to images.
type attestFlags struct {
	provenance, sbom string
	builder          string

	statement, list bool
	added           bool // of the list: without the base's layers
}

func (f *attestFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.provenance, "provenance", "false", "attach a statement of how the image was made (in-toto, SLSA; not signed), which kanso verify reads")
	s.Lookup("provenance").NoOptDefVal = "true"
	s.StringVar(&f.sbom, "sbom", "false", "attach a list of the packages in the image (SPDX 2.3); with added `EXTENT` those of the base are left out and its layers stay where they are")
	s.Lookup("sbom").NoOptDefVal = "true"
	s.StringVar(&f.builder, "builder-id", builderID, "with --provenance: the `URI` of who answers for the build")
}

// check reads the flags.
func (f *attestFlags) check() (err error) {
	switch f.provenance {
	case "mode=min", "mode=max": // docker build's
		f.statement = true
	default:
		if f.statement, err = strconv.ParseBool(f.provenance); err != nil {
			return usagef("--provenance %s: want true or false", f.provenance)
		}
	}
	if f.added = f.sbom == "added"; f.added {
		f.list = true
	} else if f.list, err = strconv.ParseBool(f.sbom); err != nil {
		return usagef("--sbom %s: want true, false or added", f.sbom)
	}
	return nil
}

// wanted says whether there is anything to attach.
func (f *attestFlags) wanted() bool { return f.statement || f.list }

// fits says whether what is attached has a place where images go.
func (f *attestFlags) fits(g *goal, push bool) error {
	if !f.wanted() {
		return nil
	}
	for _, o := range g.outputs {
		if !o.HoldsAttachments() {
			return usagef("--output %s:%s has no place for what is attached to an image: want --push, oci:DIR or oci-archive:FILE", o.Kind, o.Path)
		}
	}
	if !push && len(g.outputs) == 0 {
		return usagef("what is attached to an image goes where the image goes: want --push or --output")
	}
	return nil
}

// attest makes what is attached to an image.
func (b *buildRun) attest(ctx context.Context, builder *oci.Builder, t *target) error {
	if b.attests.list {
		a, err := builder.SBOM(ctx, t.built, b.attests.added, version)
		if err != nil {
			return err
		}
		t.attached = append(t.attached, a)
	}
	if !b.attests.statement {
		return nil
	}
	o := oci.Origin{
		Source: sourceZenML, Plan: t.Plan, Format: builder.Format, Compression: builder.Compression, Annotations: builder.Annotations, Time: builder.Time,
		Contexts: relativeContexts(builder.Context, builder.Contexts),
	}
	if builder.Egress.Network == sandbox.NetworkNone {
		o.Network = sandbox.NetworkNone
	}
	if b.docker.given() {
		o.Source = sourceDockerfile
	}
	a, err := builder.Provenance(ctx, o, t.built, oci.Maker{ID: b.attests.builder, Version: version, Redact: b.redact.text})
	if err != nil {
		return err
	}
	t.attached = append(t.attached, a)
	return nil
}

// What plans are made of, in statements.
const (
	sourceZenML      = "zenml"
	sourceDockerfile = "dockerfile"
)

// attach puts what there is to attach beside an image that was pushed.
func attach(ctx context.Context, client *oci.Client, t *target) error {
	for _, tags := range repositories(t.tags) {
		if err := client.Attach(ctx, t.built, tags[0].Repository, t.attached); err != nil {
			err = fmt.Errorf("the image is pushed, but not what belongs to it: %w", err)
			if refused := (*oci.RefusedError)(nil); errors.As(err, &refused) {
				err = hinted(err, "the registry may not know OCI 1.1's artifacts: leave --provenance and --sbom out, or write them with --output oci:DIR")
			}
			return err
		}
	}
	return nil
}

// relativeContexts are further contexts as a statement names them: relative to
// the first one if they are in it, and else not at all.
func relativeContexts(root string, contexts map[string]string) map[string]string {
	out := map[string]string{}
	for name, dir := range contexts {
		out[name] = ""
		if rel, err := filepath.Rel(root, dir); err == nil && filepath.IsLocal(rel) {
			out[name] = filepath.ToSlash(rel)
		}
	}
	return out
}
