package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

// build carries the plan out with nothing from earlier builds but what bases
// and downloads there are.
func (v *verifyRun) build(ctx context.Context, client *oci.Client, store *cache.Dir, show display, o oci.Origin, dir string) (*oci.Image, error) {
	root, contexts, err := v.places(o, dir)
	if err != nil {
		return nil, err
	}
	private, remove, err := v.env.private()
	if err != nil {
		return nil, err
	}
	defer remove()
	project, err := projectOf(root, store.Scratch())
	if err != nil {
		return nil, err
	}
	project = "verify " + project // what a stranger's statement leaves is for no build
	access, err := v.access(ctx, store, project, private, o.Requirements)
	if err != nil {
		return nil, err
	}
	b := oci.Builder{
		Context: root, Contexts: contexts, Client: client, Store: store, Runner: v.sandbox.runner(v.app, store), IDs: sandbox.IDs(v.sandbox.ids),
		Access: access, StepEnv: v.stepEnv(o.Plan), Time: o.Time, Created: o.Time, Format: o.Format, Git: v.checkout, Annotations: o.Annotations, Compression: o.Compression,
		NoCache: true, Project: project, Name: project, Output: show.output(), Progress: show, Now: now, Secrets: map[string]string{},
		Egress: oci.Egress{Network: o.Network},
	}
	if v.network != "" && o.Network == "" {
		b.Egress = oci.Egress{Network: v.network, Allow: v.allowHosts}
	}
	list, err := v.app.secrets(v.secrets, private)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		b.Secrets[s.id] = s.file
	}
	if o.Source == sourceZenML {
		if b.Mounts, err = secretMounts(list); err != nil {
			return nil, err
		}
	}
	if b.Agents, err = v.agents(v.ssh); err != nil {
		return nil, err
	}
	return b.Build(ctx, o.Plan)
}

// stepEnv are the variables that steps name and no plan holds, from the host.
func (v *verifyRun) stepEnv(p plan.Plan) map[string]string {
	out := map[string]string{}
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			var names []string
			switch step := step.(type) {
			case plan.Install:
				names = step.Env
			case plan.Run:
				names = step.Env
			}
			for _, name := range names {
				out[name] = v.env[name]
			}
		}
	}
	v.redact.add(slices.Collect(maps.Values(out))...)
	return out
}

// places are where the files of the plan are: its context, and further ones.
func (v *verifyRun) places(o oci.Origin, dir string) (root string, contexts map[string]string, err error) {
	if o.Source == sourceZenML {
		root, err = resolve.SourceRoot(dir, "", v.env)
	} else if root, err = filepath.Abs(dir); err == nil {
		err = isDir(root)
	}
	if err != nil {
		return "", nil, fmt.Errorf("files to build from: %w", err)
	}
	contexts = map[string]string{}
	for name, rel := range o.Contexts {
		if rel != "" && filepath.IsLocal(filepath.FromSlash(rel)) {
			contexts[name] = filepath.Join(root, filepath.FromSlash(rel))
		}
	}
	for _, c := range v.contexts {
		name, place, _ := strings.Cut(c, "=")
		if contexts[name], err = filepath.Abs(place); err != nil {
			return "", nil, fmt.Errorf("--build-context %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Contexts)) {
		if contexts[name] == "" {
			return "", nil, usagef("the image has files of another context: --build-context %s=DIR says where it is", name)
		}
	}
	return root, contexts, nil
}

// access is what package managers are lent: as for a build, and the versions
// that they have to install.
func (v *verifyRun) access(ctx context.Context, store *cache.Dir, project, private string, requirements []string) (map[string]oci.Access, error) {
	l := lender{a: v.app, dir: private, caches: func(manager string) (string, error) { return store.Packages(project, manager) }}
	access, err := l.access(ctx, anybody)
	if err != nil {
		return nil, err
	}
	for manager := range access {
		if !slices.Contains(v.lend, manager) {
			access[manager] = oci.Access{}
		}
	}
	if len(requirements) == 0 {
		return access, nil
	}
	m, err := l.write("versions.txt", strings.Join(requirements, "\n")+"\n")
	if err != nil {
		return nil, fmt.Errorf("versions of packages: %w", err)
	}
	for manager, variable := range map[string]string{"pip": "PIP_CONSTRAINT", "uv": "UV_CONSTRAINT"} {
		x := access[manager]
		x.Env, x.Mounts = append(x.Env, variable+"="+m.Target), append(x.Mounts, m)
		access[manager] = x
	}
	return access, nil
}
