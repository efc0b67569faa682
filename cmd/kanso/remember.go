package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/oci"
)

// rememberFlags say which images layers may be taken from.
type rememberFlags struct{ from []string }

func (r *rememberFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&r.from, "cache-from", nil,
		"an `IMAGE` that kanso pushed, whose layers may be taken beside those of the image that is there under the name to be pushed (repeatable); none trusts no image")
}

// check refuses what names no image.
func (r *rememberFlags) check() error {
	if slices.Contains(r.from, "none") && len(r.from) > 1 {
		return usagef("--cache-from none goes with no other")
	}
	for _, from := range r.from {
		if _, err := cacheImage(from); err != nil {
			return err
		}
	}
	return nil
}

// cacheImage reads IMAGE, or type=registry,ref=IMAGE as docker buildx has it.
func cacheImage(from string) (string, error) {
	if !strings.Contains(from, "=") {
		if from == "" {
			return "", usagef("--cache-from needs an image")
		}
		return from, nil
	}
	values := map[string]string{}
	for part := range strings.SplitSeq(from, ",") {
		name, value, _ := strings.Cut(part, "=")
		values[name] = value
	}
	if values["type"] != "registry" || values["ref"] == "" {
		return "", usagef("--cache-from %s: want IMAGE, or type=registry,ref=IMAGE", from)
	}
	return values["ref"], nil
}

// memory are the images that are asked, in order: those that are there under
// the names to be pushed, then those that flags and settings name.
func (r *rememberFlags) memory(client *oci.Client, t *target, push bool) *oci.Memory {
	if slices.Contains(r.from, "none") {
		return nil
	}
	m := &oci.Memory{Client: client}
	if push {
		for _, tag := range t.tags {
			m.Refs = append(m.Refs, tag.Name())
		}
	}
	for _, from := range slices.Concat(r.from, t.CacheFrom) {
		if ref, err := cacheImage(from); err == nil && !slices.Contains(m.Refs, ref) {
			m.Refs = append(m.Refs, ref)
		}
	}
	return m
}
