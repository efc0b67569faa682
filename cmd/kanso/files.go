package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/resolve"
)

func (a *app) filesVerb() *cobra.Command {
	var project projectFlags
	var docker dockerfileFlags
	var registry registryFlags
	var dir string
	c := &cobra.Command{
		Use:   "files [PATH...]",
		Short: "List the files that go in, or say of paths what decided",
		Long: `List the files of the project that go in the image, with their total size; with -f those
of a build context that steps of a Dockerfile may need. Of paths it is said whether they go
in, and which rule of which line decided.`,
	}
	project.add(c)
	projectOnly := projectNames(c.Flags())
	docker.add(c)
	registry.add(c)
	cacheDir := cacheFlag(c)
	c.Flags().StringVarP(&dir, "directory", "C", ".", "the project's or the context's `DIR`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := docker.check(projectOnly); err != nil {
			return err
		}
		if docker.given() {
			if err := isDir(dir); err != nil {
				return fmt.Errorf("--directory: %w", err)
			}
			r, _, err := a.resolve(c.Context(), docker, project, registry, explainFlags{}, *cacheDir, []string{dir})
			if err != nil {
				return err
			}
			return a.list(r.Files, args)
		}
		o, err := project.options(a.env, []string{dir})
		if err != nil {
			return err
		}
		return a.files(c.Context(), o, args)
	}
	return c
}

func (a *app) files(ctx context.Context, o resolve.Options, paths []string) error {
	set, err := resolve.Sources(ctx, o)
	if err != nil {
		return err
	}
	a.warn(set.Warnings...)
	return a.list(set, paths)
}

// list prints files, or says of paths what decided.
func (a *app) list(set resolve.FileSet, paths []string) error {
	out := &errWriter{w: a.stdout}
	if len(paths) > 0 {
		return why(out, set, paths)
	}
	count, total := 0, int64(0)
	for _, name := range set.Paths {
		info, err := os.Lstat(filepath.Join(set.Root, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if !info.IsDir() {
			count++
			if info.Mode().IsRegular() {
				total += info.Size()
			}
			fmt.Fprintln(out, name)
		}
	}
	fmt.Fprintf(out, "%d files, %s\n", count, size(total))
	return out.err
}

// why says of paths what decided. They are relative to the source root.
func why(out *errWriter, set resolve.FileSet, paths []string) error {
	for _, p := range paths {
		d, err := set.Why(p)
		if err != nil {
			return err
		}
		word := "stays out"
		if d.Included {
			word = "goes in"
		}
		fmt.Fprintf(out, "%s %s: %s\n", d.Path, word, reason(d))
	}
	return out.err
}

// reason says what decided.
func reason(d resolve.Decision) string {
	text := "no rule says otherwise"
	switch {
	case d.File != "":
		text = fmt.Sprintf("%s, line %d: %s", d.File, d.Line, d.Pattern)
	case d.Pattern != "":
		text = d.Pattern
	case d.Note != "":
		return d.Note
	}
	if d.Note != "" {
		text += " (" + d.Note + ")"
	}
	return text
}
