package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kanso-build/kanso/oci"
)

// deliver writes the image, pushes it, and says where it is.
func (b *buildRun) deliver(ctx context.Context, client *oci.Client, g *goal, img *oci.Image, show display) error {
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	for _, o := range g.outputs {
		if err := oci.WriteArchive(ctx, o, img, g.archiveName()); err != nil {
			return err
		}
	}
	lines := []string{digest.String()}
	if b.push {
		if lines, err = g.push(ctx, client, img); err != nil {
			return err
		}
	}
	b.times.done = now()
	if b.digestFile != "" {
		if err := writeWhole(b.digestFile, []byte(digest.String()+"\n")); err != nil {
			return fmt.Errorf("--digest-file: %w", err)
		}
	}
	if b.metadataFile != "" {
		data, err := metadata(img, g, b.times)
		if err == nil {
			err = writeWhole(b.metadataFile, data)
		}
		if err != nil {
			return fmt.Errorf("--metadata-file: %w", err)
		}
	}
	show.close() // what follows must stay where it is
	out := &errWriter{w: b.stdout}
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return out.err
}

// push pushes the image under all its names and returns where it is, a line
// for each repository.
func (g *goal) push(ctx context.Context, client *oci.Client, img *oci.Image) ([]string, error) {
	var lines []string
	for _, tags := range g.repositories() {
		ref, err := client.Push(ctx, img, tags)
		if err != nil {
			return nil, err
		}
		lines = append(lines, ref.String())
	}
	return lines, nil
}

// A goal is where an image goes.
type goal struct {
	tags    []name.Tag
	outputs []oci.Output
	zenml   string // what ZenML would call the image
}

func newGoal(outputs []string) (*goal, error) {
	g := &goal{}
	for _, o := range outputs {
		out, err := oci.ParseOutput(o)
		if err != nil {
			return nil, usagef("--output %s: %w", o, err)
		}
		// Better now than after the build.
		if info, err := os.Stat(filepath.Dir(filepath.Clean(out.Path))); err != nil {
			return nil, fmt.Errorf("--output %s: %w", o, err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("--output %s: %s is not a directory", o, filepath.Dir(out.Path))
		}
		g.outputs = append(g.outputs, out)
	}
	return g, nil
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

// fallBack takes ZenML's names for the image where the command line has none.
func (g *goal) fallBack(client *oci.Client, push bool, names []string) error {
	if len(names) > 0 {
		g.zenml = names[0]
	}
	if len(g.tags) > 0 || !push {
		return nil
	}
	for _, n := range names {
		tag, err := client.ParseTag(n)
		if err != nil {
			return fmt.Errorf("name of the image from ZenML's settings: %w", err)
		}
		g.tags = append(g.tags, tag)
	}
	if len(g.tags) == 0 {
		return usagef("--push needs a name: -t NAME, or a stack with a container registry")
	}
	return nil
}

// archiveName is what an archive calls the image.
func (g *goal) archiveName() string {
	if len(g.tags) > 0 {
		return g.tags[0].String()
	}
	return g.zenml
}

// repositories are the tags, grouped by repository in the order given.
func (g *goal) repositories() [][]name.Tag {
	var out [][]name.Tag
	at := map[string]int{}
	for _, t := range g.tags {
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
