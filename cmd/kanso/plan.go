package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

func (a *app) planVerb() *cobra.Command {
	var project projectFlags
	var registry registryFlags
	var docker dockerfileFlags
	var why explainFlags
	var asJSON bool
	var dockerfile string
	var cacheDir *string
	c := &cobra.Command{
		Use:   "plan [DIR | -f FILE [CONTEXT]]",
		Short: "Print what a build would do",
		Args:  atMost(1, "project directory or context"),
	}
	project.add(c)
	projectOnly := append(projectNames(c.Flags()), "dockerfile")
	docker.add(c)
	registry.add(c)
	cacheDir = cacheFlag(c)
	why.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	c.Flags().StringVar(&dockerfile, "dockerfile", "", "write what ZenML would have handed to Docker into `DIR`: its Dockerfiles, contexts and record (as with --compat zenml)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := docker.check(projectOnly); err != nil {
			return err
		}
		if dockerfile != "" {
			project.compat = "zenml"
		}
		if err := why.remember.check(); err != nil {
			return err
		}
		r, whys, err := a.resolve(c.Context(), docker, project, registry, why, *cacheDir, args)
		if err != nil {
			return err
		}
		if dockerfile != "" {
			return export(c.Context(), r, dockerfile)
		}
		if asJSON {
			return planJSON(a.stdout, r, whys)
		}
		return planText(a.stdout, r, whys)
	}
	return c
}

// resolve decides what goes in the images, for a verb that builds nothing, and
// explains them if it is asked to: one explanation for each, nil if there is none.
func (a *app) resolve(ctx context.Context, d dockerfileFlags, p projectFlags, reg registryFlags, why explainFlags, cacheDir string, args []string) (r resolve.Result, whys []*explanation, err error) {
	options, err := p.options(a.env, args)
	if err != nil {
		return r, nil, err
	}
	options.Lend = d.lend
	dir, err := a.openCache(ctx, cacheDir)
	if err != nil {
		return r, nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	client, err := a.client(reg, dir, nil)
	if err != nil {
		return r, nil, err
	}
	r, remove, err := a.decide(ctx, d, options, args, dir, client)
	if err != nil {
		return r, nil, err
	}
	defer remove()
	a.warn(r.Warnings...)
	for _, i := range r.Images {
		var x *explanation
		if why.on && !i.Untouched {
			if x, err = a.explanation(ctx, why, d, client, dir, r, i); err != nil {
				return r, nil, err
			}
		}
		whys = append(whys, x)
	}
	return r, whys, nil
}

// decide decides what goes in the image of a project or of a Dockerfile. The
// function that it returns removes what was unpacked for it.
func (a *app) decide(ctx context.Context, d dockerfileFlags, o resolve.Options, args []string, dir *cache.Dir, client *oci.Client) (r resolve.Result, remove func(), err error) {
	remove = func() {}
	if d.given() {
		r, remove, err = a.dockerfile(ctx, d, o.Platform, args, dir.Scratch(), bases{client})
	} else {
		o.Memory = memory{dir}
		r, err = resolve.Resolve(ctx, o, bases{client}, host{a})
	}
	if err != nil {
		return r, nil, err
	}
	for _, i := range r.Images {
		a.redact.add(envSecrets(i.StepEnv)...)
	}
	return r, remove, nil
}

// memory keeps what resolve found out in the cache.
type memory struct{ dir *cache.Dir }

func (m memory) Recall(key string) (string, bool) {
	data, ok, err := m.dir.Value("resolved", key)
	return string(data), ok && err == nil
}

func (m memory) Keep(key, text string) { _ = m.dir.PutValue("resolved", key, []byte(text)) } // it is found out again

// planJSON prints plans for programs.
func planJSON(w io.Writer, r resolve.Result, whys []*explanation) error {
	type image struct {
		Keys      []string     `json:"keys"`
		Names     []string     `json:"names"`
		Untouched bool         `json:"untouched,omitempty"`
		Stages    []plan.Stage `json:"stages"`
		Explained *explanation `json:"explained,omitempty"`
	}
	images := []image{}
	for n, i := range r.Images {
		images = append(images, image{r.KeysOf(n), append([]string{}, i.Names...), i.Untouched, i.Plan.Stages, whys[n]})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		ZenML  string  `json:"zenml,omitempty"`
		Python string  `json:"python,omitempty"`
		Images []image `json:"images"`
	}{r.ZenML, r.Python, images})
}

// planText prints plans for people.
func planText(w io.Writer, r resolve.Result, whys []*explanation) error {
	out := &errWriter{w: w}
	if r.ZenML != "" {
		fmt.Fprintf(out, "# ZenML %s, Python %s\n", r.ZenML, r.Python)
	}
	for n, i := range r.Images {
		if len(r.Images) > 1 || len(r.Keys) > 1 {
			fmt.Fprintf(out, "\n# for %s\n", strings.Join(r.KeysOf(n), ", "))
		}
		for _, name := range i.Names {
			fmt.Fprintf(out, "# image %s\n", name)
		}
		if i.Untouched {
			fmt.Fprintf(out, "# the base is used as it is\n")
		}
		for _, s := range i.Plan.Stages {
			stageText(out, s)
		}
		if whys[n] != nil {
			whys[n].write(out)
		}
	}
	return out.err
}

// stageText prints a stage.
func stageText(out io.Writer, s plan.Stage) {
	fmt.Fprintf(out, "FROM %s", cmp.Or(s.Base, s.BaseStage))
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
