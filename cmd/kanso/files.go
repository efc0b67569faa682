package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/resolve"
)

func (a *app) filesVerb() *cobra.Command {
	var o resolve.FileOptions
	c := &cobra.Command{
		Use:   "files [PATH...]",
		Short: "List the files that go in, or say of paths what decided",
	}
	f := c.Flags()
	f.StringVarP(&o.Dir, "directory", "C", ".", "the project's `DIR`")
	f.StringVar(&o.Dockerignore, "dockerignore", "", "ignore `FILE`, else .dockerignore in the source root")
	f.StringVar(&o.Matcher, "ignore-rules", "", "whose reading of ignore files: docker or docker-py, `NAME`")
	c.RunE = func(c *cobra.Command, args []string) error { return a.files(c.Context(), o, args) }
	return c
}

func (a *app) files(ctx context.Context, o resolve.FileOptions, paths []string) error {
	return nil
}

var _ = fmt.Sprint
