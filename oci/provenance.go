package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/oci/attest"
	"github.com/kanso-build/kanso/resolve/plan"
)

// BuildType says what the parameters of our statements mean; docs/provenance.md
// explains them.
const BuildType = "https://github.com/kanso-build/kanso/blob/main/docs/provenance.md#v1"

// An Origin is what an image is made from: a builder with it and with the same
// files makes the same image again, as far as the steps that it runs are
// repeatable.
type Origin struct {
	// Source is what the plan was made of: "zenml" or "dockerfile".
	Source string
	Plan   plan.Plan
	// Format, Compression, Annotations and Time are as in [Builder]; Created is
	// Time.
	Format      string
	Compression layers.Compression
	Annotations map[string]string
	Time        time.Time
	// Contexts are the further build contexts of the plan, by their names: paths
	// relative to the context, or empty for those that lie elsewhere.
	Contexts map[string]string
	// Network is "none" if steps had no network whatever the plan says.
	Network string
	// Redacted says that secrets were left out of the plan, which therefore cannot
	// be carried out again.
	Redacted bool

	// The others are of a statement that was read. Image is what it is about.
	Image v1.Hash
	// Bases are digests by the references that the plan has for them, where there
	// is one digest for it.
	Bases map[string]v1.Hash
	// Requirements are the Python distributions that were installed, as
	// "name==version".
	Requirements []string
}

// parameters are the external parameters of a statement.
type parameters struct {
	Source      string            `json:"source"`
	Plan        plan.Plan         `json:"plan"`
	Format      string            `json:"format,omitempty"`
	Compression string            `json:"compression"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Contexts    map[string]string `json:"contexts,omitempty"`
	Network     string            `json:"network,omitempty"`
	// Epoch is SOURCE_DATE_EPOCH, in seconds.
	Epoch *int64 `json:"sourceDateEpoch,omitempty"`
}

// internals are the internal parameters of a statement.
type internals struct {
	Redacted bool `json:"redacted,omitempty"`
}

// The kinds of a statement's dependencies, in their annotation "kind".
const (
	kindBase    = "base"
	kindCopied  = "copied"
	kindPackage = "package"
)

// A Maker is who makes a statement.
type Maker struct {
	// ID is the URI of who is answerable for the build.
	ID string
	// Version is kanso's.
	Version string
	// Redact takes secrets out of a text.
	Redact func(string) string
}

// Provenance is a statement of how an image was made from a plan (in-toto with
// SLSA's provenance 1.0). It has digests of the bases, of what was copied and of
// what was installed, and nothing that changes from one build to the next.
func (b *Builder) Provenance(ctx context.Context, o Origin, img *Image, by Maker) (Attachment, error) {
	text, err := b.provenance(ctx, o, img, by)
	if err != nil {
		return Attachment{}, fmt.Errorf("provenance: %w", err)
	}
	return Attachment{
		Type: attest.StatementType, Data: []byte(text), Annotations: map[string]string{"in-toto.io/predicate-type": attest.ProvenanceV1},
	}, nil
}

func (b *Builder) provenance(ctx context.Context, o Origin, img *Image, by Maker) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	inventory, err := b.Inventory(ctx, img, true)
	if err != nil {
		return "", err
	}
	b.addHashes(&inventory, o.Plan, img.Steps)
	text, err := o.statement(digest, img, inventory, by)
	if err != nil {
		return "", err
	}
	clean := by.clean(text)
	if clean != text {
		o.Redacted = true
		if text, err = o.statement(digest, img, inventory, by); err != nil {
			return "", err
		}
		clean = by.clean(text)
	}
	if !json.Valid([]byte(clean)) {
		return "", errors.New("a secret is part of the statement's own words")
	}
	return clean, nil
}

// Provenances are the statements of ours that are attached to an image.
func (c *Client) Provenances(ctx context.Context, image Base) ([]Origin, error) {
	all, err := c.Attachments(ctx, image, attest.StatementType)
	if err != nil {
		return nil, err
	}
	var list []Origin
	for _, a := range all {
		if o, err := ReadOrigin(a.Data); err == nil { // others may say other things
			list = append(list, o)
		}
	}
	return list, nil
}

// secretInURL is what a URL says of who asks: a password, or a token in the
// user's place.
var secretInURL = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)([^/\s@:"\\]*:[^/\s@"]+|[^/\s@:"\\]{20,})@`)

// clean is a text without secrets.
func (by Maker) clean(text string) string {
	text = secretInURL.ReplaceAllString(text, "$1***@")
	if by.Redact != nil {
		text = by.Redact(text)
	}
	return text
}

// statement is the text of the statement.
func (o Origin) statement(image v1.Hash, img *Image, inventory Inventory, by Maker) (string, error) {
	p := parameters{Source: o.Source, Plan: withoutPlaces(o.Plan), Format: o.Format, Compression: compressionWords(o.Compression), Contexts: o.Contexts, Network: o.Network, Annotations: cloneMap(o.Annotations)}
	if !o.Time.IsZero() {
		epoch := o.Time.Unix()
		p.Epoch = &epoch
	}
	external, err := attest.JSON(p)
	if err != nil {
		return "", err
	}
	internal, err := attest.JSON(internals{Redacted: o.Redacted})
	if err != nil {
		return "", err
	}
	data, err := attest.JSON(attest.NewStatement(image.Hex, attest.Provenance{
		BuildDefinition: attest.BuildDefinition{
			BuildType: BuildType, ExternalParameters: external, InternalParameters: internal, ResolvedDependencies: dependencies(img, inventory),
		},
		RunDetails: attest.RunDetails{Builder: attest.Builder{ID: by.ID, Version: map[string]string{"kanso": by.Version}}},
	}))
	return string(data), err
}

// compressionWords is a compression as [layers.ParseCompression] reads it.
func compressionWords(c layers.Compression) string {
	if c.Level == 0 {
		return cmp.Or(c.Name, layers.Gzip)
	}
	return c.Name + ":" + strconv.Itoa(c.Level)
}

// withoutPlaces is a plan that does not say in which directory of the host a
// Dockerfile lay.
func withoutPlaces(p plan.Plan) plan.Plan {
	p.Stages = slices.Clone(p.Stages)
	for i, s := range p.Stages {
		s.Lines = slices.Clone(s.Lines)
		for n, line := range s.Lines {
			s.Lines[n] = path.Base(strings.ReplaceAll(line, `\`, "/"))
			if line == "" {
				s.Lines[n] = ""
			}
		}
		p.Stages[i] = s
	}
	return p
}

// dependencies are what went into an image beside its parameters.
func dependencies(img *Image, inventory Inventory) []attest.Resource {
	var list []attest.Resource
	for _, b := range img.Bases {
		list = append(list, attest.Resource{
			Name: b.Ref, URI: b.purl(), Digest: map[string]string{b.Digest.Algorithm: b.Digest.Hex},
			Annotations: map[string]string{"kind": kindBase, "platform": b.Platform.String()},
		})
	}
	for _, c := range img.Copied {
		a := map[string]string{"kind": kindCopied, "files": fmt.Sprint(c.Files)}
		if c.Stage != "" {
			a["stage"] = c.Stage
		}
		list = append(list, attest.Resource{Name: c.Step, Digest: map[string]string{"dirHash": c.Tree}, Annotations: a})
	}
	for _, p := range inventory.Packages {
		if p.Type != "pypi" {
			continue // Debian's are those of the base, too
		}
		r := attest.Resource{Name: p.Name + "==" + p.Version, URI: p.purl(""), Annotations: map[string]string{"kind": kindPackage}}
		if p.Archive != "" {
			r.Digest = map[string]string{"sha256": p.Archive}
		}
		if p.Record != "" {
			r.Annotations["record"] = "sha256:" + p.Record
		}
		if len(p.hashes) > 0 {
			r.Annotations["hashes"] = strings.Join(p.hashes, " ")
		}
		list = append(list, r)
	}
	return list
}

// ReadOrigin reads a statement that [Builder.Provenance] made. Those of other
// builders are an error.
func ReadOrigin(statement []byte) (Origin, error) {
	s, err := attest.ReadStatement(statement)
	if err != nil {
		return Origin{}, err
	}
	build := s.Predicate.BuildDefinition
	if build.BuildType != BuildType {
		return Origin{}, fmt.Errorf("read statement: it is of a build of type %q, not of kanso's", build.BuildType)
	}
	var p parameters
	if err := json.Unmarshal(build.ExternalParameters, &p); err != nil {
		return Origin{}, fmt.Errorf("read statement: %w", err)
	}
	var in internals
	if err := json.Unmarshal(build.InternalParameters, &in); err != nil {
		return Origin{}, fmt.Errorf("read statement: %w", err)
	}
	o := Origin{Source: p.Source, Plan: p.Plan, Format: p.Format, Annotations: p.Annotations, Contexts: p.Contexts, Network: p.Network, Redacted: in.Redacted, Bases: map[string]v1.Hash{}}
	if o.Compression, err = layers.ParseCompression(p.Compression); err != nil {
		return Origin{}, fmt.Errorf("read statement: %w", err)
	}
	if p.Epoch != nil {
		o.Time = time.Unix(*p.Epoch, 0).UTC()
	}
	if len(s.Subject) == 1 {
		o.Image = v1.Hash{Algorithm: "sha256", Hex: s.Subject[0].Digest["sha256"]}
	}
	o.takeDependencies(build.ResolvedDependencies)
	return o, nil
}

// takeDependencies reads what [dependencies] writes.
func (o *Origin) takeDependencies(list []attest.Resource) {
	several := map[string]bool{}
	for _, r := range list {
		switch r.Annotations["kind"] {
		case kindBase:
			h := v1.Hash{Algorithm: "sha256", Hex: r.Digest["sha256"]}
			if was, ok := o.Bases[r.Name]; ok && was != h || !hexDigest(h.Hex) {
				several[r.Name] = true
			}
			o.Bases[r.Name] = h
		case kindPackage:
			o.Requirements = append(o.Requirements, r.Name)
		}
	}
	for ref := range several {
		delete(o.Bases, ref)
	}
}
