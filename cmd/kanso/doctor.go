package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/sandbox"
)

func (a *app) doctorVerb() *cobra.Command {
	var box sandboxFlags
	c := &cobra.Command{
		Use:   "doctor [REGISTRY...]",
		Short: "Say what this machine allows, and which credentials registries get",
	}
	box.add(c)
	cacheDir := cacheFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := box.check(); err != nil {
			return err
		}
		return a.doctor(c.Context(), box, *cacheDir, args)
	}
	return c
}

func (a *app) doctor(ctx context.Context, box sandboxFlags, cacheDir string, registries []string) (err error) {
	dir, err := a.openCache(ctx, cacheDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	place, err := a.env.cacheDir(cacheDir)
	if err != nil {
		return err
	}
	out := &errWriter{w: a.stdout}
	fmt.Fprintf(out, "cache       %s\n", place)
	report, err := sandbox.Probe(ctx, sandbox.Options{Dir: dir.Scratch(), Mode: sandbox.Mode(box.mode), IDs: sandbox.IDs(box.ids), Log: a.stderr})
	if err != nil && !errors.Is(err, sandbox.ErrUnsupported) && !errors.Is(err, sandbox.ErrUnavailable) {
		return err
	}
	if err != nil {
		fmt.Fprintf(out, "steps       none can be run: %v\n", err)
	}
	writeReport(out, report)
	if err := a.credentials(ctx, out, registries); err != nil {
		return err
	}
	return out.err
}

// writeReport says what of the sandbox works.
func writeReport(w io.Writer, r sandbox.Report) {
	if r.Mode == "" {
		fmt.Fprintln(w, "mode        none: builds that run no step work all the same")
	} else {
		fmt.Fprintf(w, "mode        %s, ids: %s\n", r.Mode, r.IDs)
		fmt.Fprintf(w, "owners      %s\n", map[bool]string{true: "every change of owner is recorded", false: "changes of owner are not recorded"}[r.Record])
	}
	if len(r.Modes) > 0 {
		fmt.Fprintln(w)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "MODE\tIDS\tWORKS\tWHY NOT")
		for _, m := range r.Modes {
			works := "no"
			if m.OK {
				works = "yes"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.Mode, m.IDs, works, m.Why)
		}
		_ = table.Flush() // w keeps its errors
		seen := map[string]bool{}
		for _, m := range r.Modes {
			if m.Fix != "" && !m.OK && !seen[m.Fix] {
				seen[m.Fix] = true
				fmt.Fprintf(w, "\nwould allow %s (%s):\n  %s\n", m.Mode, m.IDs, m.Fix)
			}
		}
	}
	if len(r.Facts) > 0 {
		fmt.Fprintln(w)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range r.Facts {
			fmt.Fprintf(table, "%s\t%s\n", f.Name, f.Value)
		}
		_ = table.Flush()
	}
}
