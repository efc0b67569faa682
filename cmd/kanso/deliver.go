package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
)

// A target is an image and where it goes.
type target struct {
	resolve.Image
	tags  []name.Tag
	ahead *oci.Ahead // nil if it is not pushed
	built *oci.Image // nil if the image is untouched, or not built yet
	ref   string     // where it is, once it is there
	// attached is what goes beside it.
	attached []oci.Attachment
}

// targets says where the images go, and refuses what cannot be built.
func (b *buildRun) targets(client *oci.Client, g *goal, r resolve.Result) ([]*target, error) {
	if err := g.fits(len(r.Images)); err != nil {
		return nil, err
	}
	list := make([]*target, len(r.Images))
	for i, image := range r.Images {
		if err := errors.Join(image.Broken...); err != nil {
			return nil, err
		}
		list[i] = &target{Image: image, tags: g.tags}
		if err := list[i].name(client, b.push); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// fits refuses places that cannot take that many images.
func (g *goal) fits(images int) error {
	if images < 2 {
		return nil
	}
	if len(g.tags) > 0 {
		return usagef("--tag: there are %d images, which ZenML's names tell apart: leave it out", images)
	}
	for _, o := range g.outputs {
		if !o.HoldsSeveral() {
			return usagef("--output: there are %d images: want oci:DIR without a tag, which holds several", images)
		}
	}
	return nil
}

// name takes ZenML's names for an image that is pushed and has no other.
func (t *target) name(client *oci.Client, push bool) error {
	if t.Untouched || !push || len(t.tags) > 0 {
		return nil
	}
	for _, n := range t.Names {
		tag, err := client.ParseTag(n)
		if err != nil {
			return fmt.Errorf("name of the image from ZenML's settings: %w", err)
		}
		t.tags = append(t.tags, tag)
	}
	if len(t.tags) == 0 {
		return usagef("--push needs a name: -t NAME, or for a project --pipeline NAME and a stack with a container registry")
	}
	return nil
}

// sendAhead lets layers be sent while later ones are made. Whether that may be
// is asked when the first one is to be made; now, if files would be written.
func (b *buildRun) sendAhead(ctx context.Context, client *oci.Client, g *goal, images []*target) error {
	if !b.push {
		return nil
	}
	for _, t := range images {
		t.ahead = client.Ahead(t.tags)
		if len(g.outputs) == 0 || t.Untouched {
			continue
		}
		if err := t.ahead.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func closeAhead(images []*target) {
	for _, t := range images {
		if t.ahead != nil {
			t.ahead.Close()
		}
	}
}

// archiveName is what an archive calls the image.
func (t *target) archiveName() string {
	switch {
	case len(t.tags) > 0:
		return t.tags[0].String()
	case len(t.Names) > 0:
		return t.Names[0]
	}
	return ""
}

// deliver writes the images, pushes them, and says where they are.
func (b *buildRun) deliver(ctx context.Context, client *oci.Client, store *cache.Dir, g *goal, r resolve.Result, images []*target, show display) error {
	digests, err := b.writeAll(ctx, client, store, g, images, show)
	if err != nil {
		return err
	}
	var lines []string
	for _, t := range images {
		if !b.push || t.Untouched {
			lines = append(lines, t.ref)
			continue
		}
		pushed, err := push(ctx, client, t)
		if err != nil {
			return err
		}
		t.ref = pushed[0]
		lines = append(lines, pushed...)
	}
	b.times.done = now()
	if err := b.reports(r, images, digests); err != nil {
		return err
	}
	show.close() // what follows must stay where it is
	return b.say(g, lines)
}

// say says where the images are: on stdout, unless that has a tar.
func (b *buildRun) say(g *goal, lines []string) error {
	out := &errWriter{w: b.stdout}
	if g.stdout {
		out.w = b.stderr
	}
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return out.err
}

// reports writes the files about the build.
func (b *buildRun) reports(r resolve.Result, images []*target, digests []string) error {
	if b.digestFile != "" {
		if err := writeWhole(b.digestFile, []byte(strings.Join(digests, "\n")+"\n")); err != nil {
			return fmt.Errorf("--digest-file: %w", err)
		}
	}
	for _, file := range []struct {
		flag, name string
		data       func() ([]byte, error)
	}{
		{"--iidfile", b.iidFile, func() ([]byte, error) { return imageID(images[0]) }},
		{"--metadata-file", b.metadataFile, func() ([]byte, error) {
			data, err := metadata(r, images, b.times)
			return []byte(b.redact.text(string(data))), err
		}},
		{"--build-record", b.record, func() ([]byte, error) { return b.buildRecord(r, images) }},
	} {
		if file.name == "" {
			continue
		}
		data, err := file.data()
		if err == nil {
			err = writeWhole(file.name, data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file.flag, err)
		}
	}
	return nil
}

// imageID is the digest of an image's configuration.
func imageID(t *target) ([]byte, error) {
	id, err := t.built.ConfigName()
	return []byte(id.String()), err
}

// buildRecord is what ZenML is told of the images.
func (b *buildRun) buildRecord(r resolve.Result, images []*target) ([]byte, error) {
	refs := make([]string, len(images))
	for i, t := range images {
		refs[i] = t.ref
		if !b.push && len(t.Names) > 0 {
			refs[i] = t.archiveName() // a digest alone names no image
		}
	}
	text, err := r.Record(refs).YAML()
	return []byte(text), err
}

// push pushes an image under all its names and returns where it is, a line
// for each repository.
func push(ctx context.Context, client *oci.Client, t *target) ([]string, error) {
	var lines []string
	for _, tags := range repositories(t.tags) {
		ref, err := client.Push(ctx, t.built, tags)
		if err != nil {
			return nil, err
		}
		lines = append(lines, ref.String())
	}
	return lines, attach(ctx, client, t)
}

// A goal is where the command line wants images.
type goal struct {
	tags    []name.Tag
	outputs []oci.Output
	push    bool // as an output says
	stdout  bool // one of outputs is there
	// annotations are for the manifest.
	annotations map[string]string
}

// annotations are the values of --annotation. Those of an index are for images
// of several platforms.
func annotations(flags []string) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range flags {
		name, value, ok := strings.Cut(f, "=")
		if kind, rest, typed := strings.Cut(name, ":"); typed {
			if kind != "manifest" {
				return nil, usagef("--annotation %s: only manifests are annotated here", f)
			}
			name = rest
		}
		if !ok || name == "" {
			return nil, usagef("--annotation %s: want NAME=VALUE", f)
		}
		out[name] = value
	}
	return out, nil
}

func newGoal(outputs []string) (*goal, error) {
	g := &goal{}
	for _, o := range outputs {
		place, push, err := dockerOutput(o)
		if err != nil {
			return nil, err
		}
		if g.push = g.push || push; push {
			continue
		}
		out, err := oci.ParseOutput(place)
		if err != nil {
			return nil, usagef("--output %s: %w", o, err)
		}
		// Better now than after the build.
		if out.Path == oci.Stdout {
			g.stdout = true
		} else if info, err := os.Stat(filepath.Dir(filepath.Clean(out.Path))); err != nil {
			return nil, fmt.Errorf("--output %s: %w", o, err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("--output %s: %s is not a directory", o, filepath.Dir(out.Path))
		}
		g.outputs = append(g.outputs, out)
	}
	return g, nil
}

// dockerOutput is an output as docker build has it, "type=KIND,dest=FILE", as
// one of ours; others are as they are.
func dockerOutput(text string) (place string, push bool, err error) {
	switch {
	case text == oci.Stdout:
		return "tar:-", false, nil
	case strings.HasPrefix(text, "type="):
	case !strings.Contains(text, ":"):
		return "local:" + text, false, nil
	default:
		return text, false, nil
	}
	words := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		words[name] = value
	}
	kind, dest, tar := words["type"], words["dest"], words["tar"]
	push = kind == "registry" || kind == "image" && words["push"] == "true"
	for _, name := range []string{"type", "dest", "tar", "push"} {
		delete(words, name)
	}
	for name := range sorted(words) {
		return "", false, usagef("--output %s: %s is not supported", text, name)
	}
	switch {
	case push:
		return "", true, nil
	case dest == "":
	case kind == "oci" && tar == "false":
		return "oci:" + dest, false, nil
	case kind == "oci":
		return "oci-archive:" + dest, false, nil
	case kind == "local", kind == "tar":
		return kind + ":" + dest, false, nil
	case kind == "docker" && tar != "false":
		return "docker-archive:" + dest, false, nil
	}
	return "", false, usagef("--output %s: want oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, DIR, -, type=oci,dest=FILE, type=docker,dest=FILE, type=tar,dest=FILE, type=local,dest=DIR or type=registry", text)
}

// named takes the names of the command line.
func (g *goal) named(client *oci.Client, tags []string) error {
	for _, t := range tags {
		tag, err := client.ParseTag(t)
		if err != nil {
			return usagef("--tag: %w", err)
		}
		g.tags = append(g.tags, tag)
	}
	return nil
}

// repositories are tags, grouped by repository in the order given.
func repositories(tags []name.Tag) [][]name.Tag {
	var out [][]name.Tag
	at := map[string]int{}
	for _, t := range tags {
		repo := t.Context().Name()
		i, ok := at[repo]
		if !ok {
			i = len(out)
			at[repo] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], t)
	}
	return out
}
