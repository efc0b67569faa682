package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

func (a *app) planVerb() *cobra.Command {
	var project projectFlags
	var registry registryFlags
	var asJSON bool
	var cacheDir *string
	c := &cobra.Command{
		Use:   "plan [DIR]",
		Short: "Print what a build would do",
		Args:  atMost(1, "project directory"),
	}
	project.add(c)
	registry.add(c)
	cacheDir = cacheFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := a.resolve(c.Context(), project, registry, *cacheDir, args)
		if err != nil {
			return err
		}
		if asJSON {
			return planJSON(a.stdout, r)
		}
		return planText(a.stdout, r)
	}
	return c
}

// resolve decides what goes in the image, for verbs that build nothing.
func (a *app) resolve(ctx context.Context, p projectFlags, reg registryFlags, cacheDir string, args []string) (r resolve.Result, err error) {
	options, err := p.options(a.env, args)
	if err != nil {
		return r, err
	}
	dir, err := a.openCache(ctx, cacheDir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	client, err := a.client(reg, dir, nil)
	if err != nil {
		return r, err
	}
	if r, err = resolve.Resolve(ctx, options, bases{client}, host{a}); err != nil {
		return r, err
	}
	a.redact.add(envSecrets(r.StepEnv)...)
	a.warn(r.Warnings...)
	return r, nil
}

// planJSON prints a plan for programs.
func planJSON(w io.Writer, r resolve.Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		ZenML  string       `json:"zenml"`
		Python string       `json:"python"`
		Names  []string     `json:"names"`
		Stages []plan.Stage `json:"stages"`
	}{r.ZenML, r.Python, append([]string{}, r.Names...), r.Plan.Stages})
}

// planText prints a plan for people.
func planText(w io.Writer, r resolve.Result) error {
	out := &errWriter{w: w}
	fmt.Fprintf(out, "# ZenML %s, Python %s\n", r.ZenML, r.Python)
	for _, n := range r.Names {
		fmt.Fprintf(out, "# image %s\n", n)
	}
	for _, s := range r.Plan.Stages {
		fmt.Fprintf(out, "FROM %s", s.Base)
		if s.Platform != "" {
			fmt.Fprintf(out, " for %s", s.Platform)
		}
		if s.Name != "" {
			fmt.Fprintf(out, " as %s", s.Name)
		}
		fmt.Fprintln(out)
		for _, step := range s.Steps {
			fmt.Fprintf(out, "%v\n", step)
			if i, ok := step.(plan.Install); ok {
				for _, line := range requirementLines(i) {
					fmt.Fprintf(out, "    %s\n", line)
				}
			}
		}
	}
	return out.err
}

// An errWriter keeps the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	var n int
	n, e.err = e.w.Write(p)
	return n, e.err
}

// requirementLines are the requirements that an Install step installs from a
// file.
func requirementLines(i plan.Install) []string {
	var out []string
	for line := range strings.Lines(i.Requirements) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
