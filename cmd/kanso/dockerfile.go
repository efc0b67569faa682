package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

// dockerfileFlags say how a Dockerfile of the user's own is built. They are
// docker build's.
type dockerfileFlags struct {
	file                               string
	buildArgs, labels, contexts, hosts []string
	ulimits, lend, allowHosts          []string
	target, network, shmSize           string
	pull, quiet, rm, forceRm, compress bool

	flags *pflag.FlagSet
}

// add adds the flags that say what goes in the image.
func (d *dockerfileFlags) add(c *cobra.Command) {
	f := c.Flags()
	d.flags = f
	f.StringVarP(&d.file, "file", "f", "", "build the Dockerfile `FILE` (- is stdin) and no ZenML project; the argument is its context")
	f.StringArrayVar(&d.buildArgs, "build-arg", nil, "with -f: a build argument, `NAME=VALUE`, or NAME for the host's value (repeatable)")
	f.StringVar(&d.target, "target", "", "with -f: the `STAGE` that is wanted, else the last one")
	f.StringArrayVar(&d.labels, "label", nil, "with -f: a label of the image, `NAME=VALUE` (repeatable)")
	f.StringArrayVar(&d.contexts, "build-context", nil, "with -f: a further context, `NAME=DIR`, NAME=docker-image://IMAGE or NAME=oci-layout://DIR[:TAG] (repeatable)")
	f.StringArrayVar(&d.hosts, "add-host", nil, "with -f: an address that steps know, `NAME:IP` (repeatable)")
	f.StringVar(&d.network, "network", "", "the `NETWORK` of steps: host, none, or proxy for HTTP and HTTPS to the hosts of --allow-host; with -f also default")
	f.StringArrayVar(&d.allowHosts, "allow-host", nil, "with --network proxy: a host that steps may reach, `HOST[:PORT]` or *.DOMAIN[:PORT] (repeatable)")
	f.StringVar(&d.shmSize, "shm-size", "", "with -f: the `SIZE` of /dev/shm, such as 64m")
	f.StringArrayVar(&d.ulimits, "ulimit", nil, "with -f: a limit of steps, `NAME=SOFT[:HARD]` (repeatable)")
	f.StringArrayVar(&d.lend, "lend", nil, "lend every RUN of a Dockerfile the host's settings for `NAME`, pip, uv or apt: index, proxy, certificates, cache (repeatable)")
}

// addBuild adds the flags that only a build has.
func (d *dockerfileFlags) addBuild(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&d.pull, "pull", false, "ask registries whether bases changed, which is always done")
	f.BoolVarP(&d.quiet, "quiet", "q", false, "the same as --progress quiet")
	for name, to := range map[string]*bool{"rm": &d.rm, "force-rm": &d.forceRm, "compress": &d.compress} {
		f.BoolVar(to, name, false, "taken for docker build's sake")
		_ = f.MarkHidden(name) // it is there
	}
}

// only are the flags that go with a Dockerfile and with nothing else.
func (d *dockerfileFlags) only() []string {
	return []string{
		"build-arg", "target", "label", "annotation", "build-context", "add-host", "shm-size", "ulimit", "ssh",
		"iidfile", "rm", "force-rm", "compress",
	}
}

// check says whether the flags fit to each other: project are the names of
// those that go with a ZenML project only.
func (d *dockerfileFlags) check(project []string) error {
	for _, name := range d.lend {
		if !slices.Contains([]string{"pip", "uv", "apt"}, name) {
			return usagef("--lend %s: want pip, uv or apt", name)
		}
	}
	if len(d.allowHosts) > 0 && d.network != sandbox.NetworkProxy {
		return usagef("--allow-host goes with --network proxy")
	}
	if !d.given() && !slices.Contains([]string{"", sandbox.NetworkHost, sandbox.NetworkNone, sandbox.NetworkProxy}, d.network) {
		return usagef("--network %s: want host, none or proxy", d.network)
	}
	names, with := d.only(), "goes with -f FILE, a Dockerfile"
	if d.given() {
		names, with = project, "is about a ZenML project, and -f about a Dockerfile: leave one of them out"
	}
	for _, name := range names {
		if d.flags.Changed(name) {
			return usagef("--%s %s", name, with)
		}
	}
	return nil
}

// given says whether a Dockerfile is built.
func (d *dockerfileFlags) given() bool { return d.flags.Changed("file") }

// egress is what the flags say of the network of all steps.
func (d *dockerfileFlags) egress() oci.Egress {
	if d.network == sandbox.NetworkProxy || d.network == sandbox.NetworkNone && !d.given() {
		return oci.Egress{Network: d.network, Allow: d.allowHosts}
	}
	return oci.Egress{}
}

// ignored warns of what docker build does with a flag and kanso does not.
func (d *dockerfileFlags) ignored() []string {
	var list []string
	for name, why := range sorted(map[string]string{
		"rm":       "no container is left behind, ignored",
		"force-rm": "no container is left behind, ignored",
		"compress": "the context is sent nowhere, ignored",
	}) {
		if d.flags.Changed(name) {
			list = append(list, "--"+name+": "+why)
		}
	}
	return list
}

// options are those for resolve, but for the context and the Dockerfile.
func (d *dockerfileFlags) options(env environ, platform string) (resolve.DockerfileOptions, error) {
	o := resolve.DockerfileOptions{
		Target: d.target, Platform: platform, Build: "linux/" + runtime.GOARCH, BuildArgs: map[string]string{}, Labels: map[string]string{},
		Contexts: map[string]plan.Source{}, Dirs: map[string]string{}, Lend: d.lend,
	}
	for _, a := range d.buildArgs {
		name, value, ok := strings.Cut(a, "=")
		if name == "" {
			return o, usagef("--build-arg %s: want NAME=VALUE, or NAME for the host's value", a)
		}
		if !ok {
			if value, ok = env[name]; !ok {
				continue // as if it had not been given
			}
		}
		o.BuildArgs[name] = value
	}
	for _, l := range d.labels {
		name, value, _ := strings.Cut(l, "=")
		if name == "" {
			return o, usagef("--label %s: want NAME=VALUE", l)
		}
		o.Labels[name] = value
	}
	if strings.Contains(platform, ",") {
		return o, usagef("--platform %s: an image is for one platform here", platform)
	}
	if epoch := env["SOURCE_DATE_EPOCH"]; epoch != "" && o.BuildArgs["SOURCE_DATE_EPOCH"] == "" {
		o.BuildArgs["SOURCE_DATE_EPOCH"] = epoch
	}
	if err := d.stepOptions(&o); err != nil {
		return o, err
	}
	return o, d.contextOptions(&o)
}

// stepOptions reads what every step has.
func (d *dockerfileFlags) stepOptions(o *resolve.DockerfileOptions) (err error) {
	network := d.network
	if network == sandbox.NetworkProxy {
		network = "" // whatever the Dockerfile says of its steps, see egress
	}
	if o.Network, err = resolve.ParseNetwork(network); err != nil {
		return usagef("--network: %w", err)
	}
	if d.shmSize != "" {
		if o.ShmSize, err = resolve.ParseBytes(d.shmSize); err != nil {
			return usagef("--shm-size: %w", err)
		}
	}
	for _, h := range d.hosts {
		host, err := resolve.ParseHost(h)
		if err != nil {
			return usagef("--add-host: %w", err)
		}
		o.Hosts = append(o.Hosts, host)
	}
	for _, u := range d.ulimits {
		limit, err := resolve.ParseUlimit(u)
		if err != nil {
			return usagef("--ulimit: %w", err)
		}
		o.Ulimits = append(o.Ulimits, limit)
	}
	return nil
}

// contextOptions reads further contexts.
func (d *dockerfileFlags) contextOptions(o *resolve.DockerfileOptions) error {
	for _, c := range d.contexts {
		name, place, ok := strings.Cut(c, "=")
		name = strings.ToLower(name)
		if !ok || name == "" || place == "" {
			return usagef("--build-context %s: want NAME=DIR, NAME=docker-image://IMAGE or NAME=oci-layout://DIR[:TAG]", c)
		}
		if image, ok := strings.CutPrefix(place, "docker-image://"); ok {
			o.Contexts[name] = plan.Source{Image: image}
			continue
		}
		if layout, ok := strings.CutPrefix(place, "oci-layout://"); ok {
			if strings.Contains(layout, "@") {
				return usagef("--build-context %s: an image of a layout is named by its tag here, not by its digest", c)
			}
			o.Contexts[name] = plan.Source{Image: "oci:" + layout}
			continue
		}
		if isRemote(place) || strings.Contains(place, "://") {
			return usagef("--build-context %s: kanso fetches no context: want a directory, docker-image:// or oci-layout://", c)
		}
		if err := isDir(place); err != nil {
			return fmt.Errorf("--build-context %s: %w", name, err)
		}
		dir, err := filepath.Abs(place)
		if err != nil {
			return fmt.Errorf("--build-context %s: %w", name, err)
		}
		o.Contexts[name], o.Dirs[name] = plan.Source{Context: name}, dir
	}
	return nil
}

// dockerfile decides what the image of a Dockerfile is made of.
func (a *app) dockerfile(ctx context.Context, d dockerfileFlags, platform string, args []string, scratch string, b resolve.Bases) (resolve.Result, func(), error) {
	nothing := func() {}
	o, err := d.options(a.env, platform)
	if err != nil {
		return resolve.Result{}, nothing, err
	}
	a.redact.add(envSecrets(o.BuildArgs)...)
	source, err := a.openContext(ctx, d.file, args, scratch)
	if err != nil {
		return resolve.Result{}, nothing, err
	}
	o.File, o.Text, o.Beside, o.Context, o.Whole = source.file, source.text, source.beside, source.dir, source.whole
	r, err := resolve.Dockerfile(ctx, o, b)
	if err != nil {
		source.remove()
		return r, nothing, err
	}
	for _, name := range source.left {
		r.Warnings = append(r.Warnings, fmt.Sprintf("context: %s stays out: it is neither file, directory nor link", name))
	}
	return r, source.remove, nil
}

// projectNames are the names of the flags, which are those about ZenML projects,
// but for those that a Dockerfile has a use for.
func projectNames(all *pflag.FlagSet) []string {
	var names []string
	all.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return slices.DeleteFunc(names, func(n string) bool { return n == "platform" })
}
