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
	var o resolve.FileOptions
	var dir string
	c := &cobra.Command{
		Use:   "files [PATH...]",
		Short: "List the files that go in, or say of paths what decided",
		Long: `List the files of the project that go in the image, with their total size. Of paths it is
said whether they go in, and which rule of which line decided.`,
	}
	f := c.Flags()
	f.StringVarP(&dir, "directory", "C", ".", "the project's `DIR`")
	f.StringVar(&o.Dockerignore, "dockerignore", "", "ignore `FILE`, else .dockerignore in the source root")
	f.StringVar(&o.Matcher, "ignore-rules", "", "whose reading of ignore files: docker or docker-py, `NAME`")
	f.StringArrayVar(&o.AllowSecrets, "allow-secret", nil, "a `PATH` that may go in though it looks like a secret (repeatable)")
	c.RunE = func(c *cobra.Command, args []string) error {
		root, err := resolve.SourceRoot(dir, a.env)
		if err != nil {
			return err
		}
		o.Root = root
		return a.files(c.Context(), o, args)
	}
	return c
}

func (a *app) files(ctx context.Context, o resolve.FileOptions, paths []string) error {
	set, err := resolve.Files(ctx, o)
	if err != nil {
		return err
	}
	a.warn(set.Warnings...)
	out := &errWriter{w: a.stdout}
	if len(paths) > 0 {
		return a.why(out, o.Root, set, paths)
	}
	var total int64
	count := 0
	for _, name := range set.Files {
		info, err := os.Lstat(filepath.Join(o.Root, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if info.IsDir() {
			continue
		}
		if info.Mode().IsRegular() {
			total += info.Size()
		}
		count++
		fmt.Fprintln(out, name)
	}
	fmt.Fprintf(out, "%d files, %s\n", count, size(total))
	return out.err
}

// why says of paths what decided. They are relative to the source root.
func (a *app) why(out *errWriter, root string, set resolve.FileSet, paths []string) error {
	for _, p := range paths {
		if filepath.IsAbs(p) {
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			p = rel
		}
		if _, err := os.Lstat(filepath.Join(root, p)); err != nil {
			return fmt.Errorf("not in the project: %w", err)
		}
		d := set.Why(filepath.ToSlash(filepath.Clean(p)))
		word := "stays out"
		if d.Included {
			word = "goes in"
		}
		switch {
		case d.Rule == "":
			fmt.Fprintf(out, "%s %s: no rule says otherwise\n", p, word)
		case d.File == "":
			fmt.Fprintf(out, "%s %s: %s\n", p, word, d.Rule)
		default:
			fmt.Fprintf(out, "%s %s: %s, line %d: %s\n", p, word, d.File, d.Line, d.Rule)
		}
	}
	return out.err
}
