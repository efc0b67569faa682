package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// A verifyRun is one run of the verb verify.
type verifyRun struct {
	*app
	registry registryFlags
	sandbox  sandboxFlags
	cache    *string

	statement, base, platform, report string
	contexts, secrets, ssh, lend      []string
	network                           string
	allowHosts                        []string
}

func (a *app) verifyVerb() *cobra.Command {
	v := &verifyRun{app: a}
	c := &cobra.Command{
		Use:   "verify IMAGE [DIR]",
		Short: "Build an image again and compare",
		Long: `Build an image again from the statement that build --provenance attached to it, with the
files in DIR (else in the current directory): the project, or the context of the
Dockerfile. Every step is carried out anew, on the bases of then, with the versions of
Python packages of then. If the result is the same image, byte for byte, the answer is
"identical" and the exit status 0; if not, it names the files in which they differ, and
the status is 1.

The statement is not signed: "identical" means that the image is made as it says, not who
said it. What it says is run in the sandbox, with what a build is lent: verify images of
projects that you would build.`,
		Example: `  kanso verify registry.example/team/zenml:v1
  kanso verify registry.example/team/zenml:v1 --statement registry.example/team/zenml@sha256:... project`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("kanso verify needs an image")
			}
			if len(args) > 2 {
				return usagef("kanso verify takes an image and one directory, not %d", len(args)-1)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 1 {
				dir = args[1]
			}
			return v.run(c.Context(), args[0], dir)
		},
	}
	v.registry.add(c)
	v.sandbox.add(c)
	v.cache = cacheFlag(c)
	f := c.Flags()
	f.StringVar(&v.statement, "statement", "", "the statement in `FILE`, or of another IMAGE, else the one that is attached to the image")
	f.StringVar(&v.base, "base", "", "where the base is now, `IMAGE`, if it is not where it was")
	f.StringVar(&v.platform, "platform", "", "`OS/ARCH[/VARIANT]` of the image")
	f.StringArrayVar(&v.contexts, "build-context", nil, "where a further context is, `NAME=DIR` (repeatable)")
	f.StringArrayVar(&v.secrets, "secret", nil, "a file for steps that ask for it: `SECRET` is id=ID,src=FILE or id=ID,env=VAR (repeatable)")
	f.StringArrayVar(&v.ssh, "ssh", nil, "an ssh agent for steps that ask for it, `default`, or ID=SOCKET (repeatable)")
	f.StringArrayVar(&v.lend, "lend", []string{"pip", "uv", "apt"}, "lend steps the host's settings for `NAME`, pip, uv or apt, or none: index, proxy, certificates, cache (repeatable)")
	f.StringVar(&v.network, "network", "", "`proxy`: steps have HTTP and HTTPS to the hosts of --allow-host and no other network")
	f.StringArrayVar(&v.allowHosts, "allow-host", nil, "with --network proxy: a host that steps may reach, `HOST[:PORT]` or *.DOMAIN[:PORT] (repeatable)")
	f.StringVar(&v.report, "progress", "auto", "what is shown, `KIND`: auto, plain, json or quiet")
	return c
}

func (v *verifyRun) run(ctx context.Context, image, dir string) (err error) {
	show, err := v.display(v.report)
	if err != nil {
		return err
	}
	defer show.close()
	if err := v.check(); err != nil {
		return err
	}
	store, err := v.openCache(ctx, *v.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	client, err := v.client(v.registry, store, show)
	if err != nil {
		return err
	}
	have, err := client.Base(ctx, image, v.platform)
	if err != nil {
		return err
	}
	origin, err := v.origin(ctx, client, have)
	if err != nil {
		return err
	}
	client.Pins = maps.Clone(origin.Bases)
	if err := v.moved(&origin, client); err != nil {
		return err
	}
	built, err := v.build(ctx, client, store, show, origin, dir)
	if err != nil {
		return fmt.Errorf("build again: %w", err)
	}
	return v.compare(ctx, show, origin, have, built)
}

// check reads the flags that can be wrong before anything is done.
func (v *verifyRun) check() error {
	for _, name := range v.lend {
		if !slices.Contains([]string{"pip", "uv", "apt", "none"}, name) {
			return usagef("--lend %s: want pip, uv, apt or none", name)
		}
	}
	for _, c := range v.contexts {
		if name, dir, ok := strings.Cut(c, "="); !ok || name == "" || dir == "" {
			return usagef("--build-context %s: want NAME=DIR", c)
		}
	}
	if v.network != "" && v.network != sandbox.NetworkProxy {
		return usagef("--network %s: want proxy, or what the statement says", v.network)
	}
	if len(v.allowHosts) > 0 && v.network == "" {
		return usagef("--allow-host goes with --network proxy")
	}
	return v.sandbox.check()
}

// origin reads the statement that there is about the image.
func (v *verifyRun) origin(ctx context.Context, client *oci.Client, have oci.Base) (oci.Origin, error) {
	from := have
	if v.statement != "" {
		data, err := os.ReadFile(v.statement)
		if err == nil {
			return readable(oci.ReadOrigin(data))
		}
		if from, err = client.Base(ctx, v.statement, v.platform); err != nil {
			return oci.Origin{}, fmt.Errorf("--statement: it is neither a file nor an image: %w", err)
		}
	}
	list, err := client.Provenances(ctx, from)
	if err != nil {
		return oci.Origin{}, err
	}
	for _, o := range list {
		if o.Image == from.Digest {
			return readable(o, nil)
		}
	}
	if len(list) > 0 {
		return readable(list[0], nil)
	}
	return oci.Origin{}, hinted(fmt.Errorf("image %s (%s): no statement of how it was made is attached to it", from.Ref, from.Digest),
		"kanso build --provenance attaches one; --statement names that of another image, or a file")
}

// readable refuses an origin that cannot be built from.
func readable(o oci.Origin, err error) (oci.Origin, error) {
	if err == nil && o.Redacted {
		err = errors.New("its statement leaves out secrets that are part of the plan: it cannot be built again from it")
	}
	return o, err
}

// moved puts the base of --base in the place of the one that the plan names. It
// has to be the same image.
func (v *verifyRun) moved(o *oci.Origin, client *oci.Client) error {
	if v.base == "" {
		return nil
	}
	var was []string
	for _, s := range o.Plan.Stages {
		if s.Base != "" && s.Base != oci.Scratch && !slices.Contains(was, s.Base) {
			was = append(was, s.Base)
		}
	}
	if len(was) != 1 {
		return usagef("--base: the image has %d bases: %s", len(was), strings.Join(was, ", "))
	}
	o.Plan.Stages = slices.Clone(o.Plan.Stages)
	for i, s := range o.Plan.Stages {
		if s.Base == was[0] {
			o.Plan.Stages[i].Base = v.base
		}
	}
	if want, ok := client.Pins[was[0]]; ok {
		client.Pins[v.base] = want
	}
	return nil
}

// compare says what came of it.
func (v *verifyRun) compare(ctx context.Context, show display, o oci.Origin, have oci.Base, built *oci.Image) error {
	digest, err := built.Digest()
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	out := &errWriter{w: v.stdout}
	if digest == have.Digest {
		show.close()
		fmt.Fprintf(out, "identical %s\n", digest)
		return out.err
	}
	found, err := oci.Differences(ctx, have.Image, built.Image)
	if err != nil {
		return fmt.Errorf("image %s: %w", have.Ref, err)
	}
	show.close()
	fmt.Fprintf(out, "different: %s, built again %s\n", have.Digest, digest)
	if o.Image != have.Digest && o.Image != (v1.Hash{}) {
		fmt.Fprintf(out, "statement: it is about %s\n", o.Image)
	}
	for _, d := range found {
		fmt.Fprintln(out, d)
	}
	return errors.Join(out.err, statusError(exitFailed))
}
