package oci

import (
	"context"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/resolve/plan"
)

// install puts the requirements file in place and runs the installer on it;
// both are one layer.
func (b *Builder) install(ctx context.Context, st *state, i plan.Install) error {
	w, err := b.installWork(ctx, st, i)
	if err != nil {
		return err
	}
	w.make = st.course.early(w)
	return b.layer(ctx, st, w)
}

// installWork is the work that an Install is.
func (b *Builder) installWork(ctx context.Context, st *state, i plan.Install) (work, error) {
	x := execution{step: i.String(), kind: i.Kind(), args: i.Command, packages: []string{i.Installer}, env: i.Env, run: plan.Run{Vars: i.Vars}, parts: partsOf(st), aside: []string{"/tmp"}}
	x.install = &installing{args: i.Command, file: i.File, requirements: i.Requirements, report: &InstallReport{}}
	if i.File != "" {
		uid, gid, err := b.owner(ctx, st, i.Owner)
		if err != nil {
			return work{}, err
		}
		x.files = []sandbox.File{{Path: i.File, Mode: 0o666, UID: uid, GID: gid, Data: []byte(i.Requirements)}}
	}
	return b.executionWork(ctx, st, x)
}
