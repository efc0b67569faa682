package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// A commandRun is one run of the verb run.
type commandRun struct {
	*app
	registry registryFlags
	sandbox  sandboxFlags
	cache    *string

	env, volumes                                   []string
	user, workdir, entrypoint, network, plat, show string
}

func (a *app) runVerb() *cobra.Command {
	r := &commandRun{app: a}
	c := &cobra.Command{
		Use:   "run IMAGE [-- COMMAND...]",
		Short: "Run a command in an image",
		Long: `Run a command, else the image's own, in an image from a registry, an OCI layout
(oci:DIR[:TAG]) or an archive (oci-archive:FILE, docker-archive:FILE). What it changes is
thrown away. The exit status is the command's.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("kanso run needs an image")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			argv := args[1:]
			if len(argv) > 0 && argv[0] == "--" {
				argv = argv[1:]
			}
			return r.run(c.Context(), args[0], argv)
		},
	}
	r.registry.add(c)
	r.sandbox.add(c)
	r.cache = cacheFlag(c)
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringArrayVarP(&r.env, "env", "e", nil, "a variable, `NAME=VALUE`, or NAME for the host's value (repeatable)")
	f.StringArrayVarP(&r.volumes, "volume", "v", nil, "a file or directory of the host, `HOST:PATH[:ro]` (repeatable)")
	f.StringVarP(&r.user, "user", "u", "", "whom it runs as, `USER[:GROUP]`")
	f.StringVarP(&r.workdir, "workdir", "w", "", "`DIR` in the image it runs in")
	f.StringVar(&r.entrypoint, "entrypoint", "", "`PROGRAM` instead of the image's entry point")
	f.StringVar(&r.network, "network", "host", "`NAME` of the network: host or none")
	f.StringVar(&r.plat, "platform", "", "`OS/ARCH[/VARIANT]` of the image")
	f.StringVar(&r.show, "progress", "quiet", "what is shown, `KIND`: auto, plain, json or quiet")
	return c
}

func (r *commandRun) run(ctx context.Context, ref string, argv []string) (err error) {
	if err := r.check(); err != nil {
		return err
	}
	show, err := r.display(r.show)
	if err != nil {
		return err
	}
	defer show.close()
	dir, err := r.openCache(ctx, *r.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	client, err := r.client(r.registry, dir, show)
	if err != nil {
		return err
	}
	base, err := client.Base(ctx, ref, r.plat)
	if err != nil {
		return err
	}
	file, err := base.Image.ConfigFile()
	if err != nil {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	builder := &oci.Builder{Client: client, Store: dir, Progress: show}
	who, err := builder.Who(ctx, base, r.user)
	if err != nil {
		return err
	}
	cmd, err := r.sandboxCommand(file.Config, argv, who)
	if err != nil {
		return err
	}
	err = r.attempt(ctx, builder, base, cmd, r.sandbox.runner(r.app, dir), sandbox.IDs(r.sandbox.ids))
	var exit *sandbox.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		if exit.Code == exitNoCommand {
			r.fail(fmt.Errorf("%s: exit status %d, as of a command that is not there", cmd.Args[0], exit.Code), "", "")
		}
		return statusError(exit.Code)
	}
	return err
}

// exitNoCommand is the exit status of commands that do not exist.
const exitNoCommand = 127

// attempt runs the command. The layers are unpacked first if they are not.
func (r *commandRun) attempt(ctx context.Context, b *oci.Builder, base oci.Base, cmd sandbox.Command,
	open func(context.Context, sandbox.IDs) (oci.Runner, error), ids sandbox.IDs,
) error {
	box, err := open(ctx, ids)
	if err != nil {
		return err
	}
	lowers, release, err := b.Unpacked(ctx, base, box)
	if err != nil {
		return err
	}
	defer release()
	cmd.Lowers = lowers
	return box.Run(ctx, cmd)
}

func (r *commandRun) check() error {
	if r.network != "host" && r.network != "none" {
		return usagef("--network %s: want host or none", r.network)
	}
	if r.workdir != "" && !path.IsAbs(r.workdir) {
		return usagef("--workdir %s: want an absolute path", r.workdir)
	}
	return r.sandbox.check()
}

// sandboxCommand is the command with what the image's configuration says.
func (r *commandRun) sandboxCommand(c v1.Config, argv []string, who layers.UserInfo) (sandbox.Command, error) {
	entrypoint := c.Entrypoint
	if len(argv) == 0 && r.entrypoint == "" {
		argv = c.Cmd
	}
	if r.entrypoint != "" {
		entrypoint = []string{r.entrypoint}
	}
	args := slices.Concat(entrypoint, argv)
	if len(args) == 0 {
		return sandbox.Command{}, usagef("the image has no command: name one after --")
	}
	mounts, err := r.mounts()
	if err != nil {
		return sandbox.Command{}, err
	}
	cmd := sandbox.Command{
		Args: args, Env: r.environment(c.Env, who), Dir: r.workdir, UID: who.UID, GID: who.GID, Groups: who.Groups,
		Mounts: mounts, Network: r.network, Discard: true,
		Stdin: r.stdin, Stdout: direct(r.stdout), Stderr: r.raw,
	}
	if cmd.Dir == "" {
		cmd.Dir = c.WorkingDir
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	return cmd, nil
}

// environment is the image's, with what every process has and what the flags
// say.
func (r *commandRun) environment(image []string, who layers.UserInfo) []string {
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": who.Home}
	if f, ok := r.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		env["TERM"] = r.app.env["TERM"]
	}
	for _, e := range slices.Concat(image, r.env) {
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			if value, ok = r.app.env[name]; !ok {
				continue
			}
		}
		env[name] = value
	}
	var out []string
	for name, value := range sorted(env) {
		out = append(out, name+"="+value)
	}
	return out
}

// mounts are the values of -v.
func (r *commandRun) mounts() ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	for _, v := range r.volumes {
		source, target, ok := strings.Cut(v, ":")
		target, ro := strings.CutSuffix(target, ":ro")
		if !ok || source == "" || !path.IsAbs(target) {
			return nil, usagef("-v %s: want HOST:PATH[:ro]", v)
		}
		source, err := filepath.Abs(source)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(source); err != nil {
			return nil, fmt.Errorf("-v %s: %w", v, err)
		}
		out = append(out, sandbox.Mount{Source: source, Target: target, ReadOnly: ro})
	}
	return out, nil
}

// direct is what a command that may own the terminal writes to: nothing of the
// host's secrets is lent to it.
func direct(w *redactWriter) io.Writer {
	if f, ok := w.w.(*os.File); ok {
		return f
	}
	return w
}
