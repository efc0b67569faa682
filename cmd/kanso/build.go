package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
)

// A buildRun is one run of the verb build.
type buildRun struct {
	*app
	project  projectFlags
	registry registryFlags
	sandbox  sandboxFlags
	docker   dockerfileFlags
	remember rememberFlags
	attests  attestFlags
	cache    *string

	projectOnly                              []string // flags
	tags, outputs, secrets, ssh, notes       []string
	push, noCache                            bool
	format, digestFile, metadataFile, report string
	record, iidFile, compression, secretScan string
	cacheMount                               string

	packing layers.Compression
	times   times
}

func (a *app) buildVerb() *cobra.Command {
	b := &buildRun{app: a}
	c := &cobra.Command{
		Use:   "build [DIR | -f FILE [CONTEXT]]",
		Short: "Build the images of a ZenML project, or a Dockerfile",
		Long: `Build the image of the ZenML project in DIR (else in the current directory), and
push it or write it to files. Steps with settings of their own get images of their own.
Where the images were pushed are the only lines on stdout, one for each.

With -f FILE the image of a Dockerfile is built, as docker build would, from CONTEXT: a
directory (else the current one), a tar file, or - for a tar on stdin, in which FILE is
then. -f - reads the Dockerfile from stdin. Ignore rules are those of
FILE.dockerignore, else of .dockerignore in the context; a tar is taken as it is.`,
		Example: `  kanso build --config run.yaml --stack stack.yaml -t registry.example/team/zenml:v1 --push
  kanso build --requirement scikit-learn --output docker-archive:image.tar
  kanso build -f Dockerfile --build-arg V=1 -t registry.example/team/app:v1 --push .`,
		Args: atMost(1, "project directory or context"),
		RunE: func(c *cobra.Command, args []string) error { return b.run(c.Context(), args) },
	}
	b.project.add(c)
	b.projectOnly = slices.DeleteFunc(append(projectNames(c.Flags()), "build-record"), func(n string) bool { return n == "allow-secret" })
	b.docker.add(c)
	b.docker.addBuild(c)
	b.registry.add(c)
	b.sandbox.add(c)
	b.remember.add(c)
	b.attests.add(c)
	b.cache = cacheFlag(c)
	f := c.Flags()
	f.StringVar(&b.cacheMount, "cache-mount", "", "`DIR` where package managers keep downloads, such as one that CI keeps between jobs, else in --cache-dir")
	f.StringArrayVar(&b.ssh, "ssh", nil, "with -f: an ssh agent for steps that ask for it, `default`, or ID=SOCKET (repeatable)")
	f.StringArrayVar(&b.notes, "annotation", nil, "with -f: an annotation of the manifest, `NAME=VALUE` (repeatable)")
	f.StringVar(&b.iidFile, "iidfile", "", "with -f: write the image's id, the digest of its configuration, to `FILE`")
	f.StringArrayVarP(&b.tags, "tag", "t", nil, "what the image is called, `NAME[:TAG]` (repeatable), else ZenML's name in the stack's registry")
	f.BoolVar(&b.push, "push", false, "push it")
	f.StringArrayVarP(&b.outputs, "output", "o", nil, "write it to `PLACE`: oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE, or its files to DIR, tar:FILE or - (repeatable)")
	f.StringVar(&b.digestFile, "digest-file", "", "write the image's digest to `FILE`")
	f.StringVar(&b.metadataFile, "metadata-file", "", "write what was built to `FILE`, as JSON")
	f.StringVar(&b.record, "build-record", "", "write ZenML's record of the build to `FILE`, for zenml pipeline run --build")
	f.StringVar(&b.format, "format", "", "media types of `KIND` docker or oci, else those of the base")
	f.StringVar(&b.compression, "compression", "gzip", "how layers are compressed, `NAME[:LEVEL]`: gzip, zstd or uncompressed")
	f.StringArrayVar(&b.secrets, "secret", nil, "a file for steps, at /run/secrets/ID, or with -f for those that ask for it: `SECRET` is id=ID,src=FILE or id=ID,env=VAR (repeatable)")
	f.StringVar(&b.secretScan, "secret-scan", "", "what becomes of a build with what looks like a secret in a layer, `WHAT`: stop, warn or off; else stop, and warn with -f")
	f.BoolVar(&b.noCache, "no-cache", false, "make every layer again")
	f.StringVar(&b.report, "progress", "auto", "what is shown, `KIND`: auto, plain, json or quiet")
	return c
}

func (b *buildRun) run(ctx context.Context, args []string) (err error) {
	b.times.start = now()
	if b.docker.quiet {
		b.report = "quiet"
	}
	show, err := b.display(b.report)
	if err != nil {
		return err
	}
	defer show.close()
	goal, options, err := b.check(args)
	if err != nil {
		return err
	}
	dir, err := b.openCache(ctx, *b.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	client, err := b.client(b.registry, dir, show)
	if err != nil {
		return err
	}
	if err := goal.named(client, b.tags); err != nil {
		return err
	}
	b.expect(ctx, client, goal)
	result, remove, err := b.decide(ctx, b.docker, options, args, dir, client)
	if err != nil {
		return err
	}
	defer remove()
	b.warn(append(b.docker.ignored(), result.Warnings...)...)
	b.times.resolved = now()
	images, err := b.targets(client, goal, result)
	if err != nil {
		return err
	}
	defer closeAhead(images)
	if err := b.sendAhead(ctx, client, goal, images); err != nil {
		return err
	}
	if err := b.build(ctx, client, dir, show, goal, result.Context, images); err != nil {
		return err
	}
	b.times.built = now()
	return b.deliver(ctx, client, dir, goal, result, images, show)
}

// expect begins to ask for images that layers may be taken from, while it is
// found out what is to be built.
func (b *buildRun) expect(ctx context.Context, client *oci.Client, g *goal) {
	if b.push {
		for _, tag := range g.tags {
			client.ExpectTag(ctx, tag)
		}
	}
	for _, from := range b.remember.from {
		if ref, err := cacheImage(from); err == nil && from != "none" {
			client.Expect(ctx, ref, "")
		}
	}
}

// check reads the flags that can be wrong before anything is done.
func (b *buildRun) check(args []string) (*goal, resolve.Options, error) {
	if err := b.docker.check(b.projectOnly); err != nil {
		return nil, resolve.Options{}, err
	}
	options, err := b.project.options(b.env, args)
	if err != nil {
		return nil, options, err
	}
	if err := b.sandbox.check(); err != nil {
		return nil, options, err
	}
	if b.format != "" && b.format != "docker" && b.format != "oci" {
		return nil, options, usagef("--format %s: want docker or oci", b.format)
	}
	if len(b.notes) > 0 && b.format == "docker" {
		return nil, options, usagef("--annotation needs --format oci: Docker's media types have none")
	}
	if err := errors.Join(b.compressed(), b.remember.check(), b.scanned(), b.attests.check()); err != nil {
		return nil, options, err
	}
	g, err := newGoal(b.outputs)
	if err != nil {
		return nil, options, err
	}
	if g.stdout && b.terminal() {
		return nil, options, usagef("--output -: stdout is a terminal: redirect it")
	}
	if g.annotations, err = annotations(b.notes); err != nil {
		return nil, options, err
	}
	if len(g.annotations) > 0 {
		b.format = "oci"
	}
	b.push = b.push || g.push
	if err := b.attests.fits(g, b.push); err != nil {
		return nil, options, err
	}
	for _, o := range g.outputs {
		options.Outputs = append(options.Outputs, o.Path)
	}
	options.WarnOfSecrets = b.secretScan != scanStop
	options.ParentDigests, options.Lend = b.record != "", b.docker.lend
	for _, file := range []string{b.digestFile, b.metadataFile, b.record, b.cacheMount} {
		if file != "" {
			options.Outputs = append(options.Outputs, file)
		}
	}
	return g, options, nil
}

// compressed reads --compression.
func (b *buildRun) compressed() (err error) {
	if b.packing, err = layers.ParseCompression(b.compression); err != nil {
		return usagef("--compression: %w", err)
	}
	if b.packing.Name == layers.Zstd && b.format == "docker" {
		return usagef("--compression zstd needs OCI media types: --format oci")
	}
	return nil
}

// build carries out the plans, one after the other: what they have in common
// is made once.
func (b *buildRun) build(ctx context.Context, client *oci.Client, dir *cache.Dir, show display, g *goal, root string, images []*target) error {
	date, err := b.env.sourceDate()
	if err != nil {
		return err
	}
	private, remove, err := b.env.private()
	if err != nil {
		return err
	}
	defer remove()
	project, err := projectOf(root, dir.Scratch())
	if err != nil {
		return err
	}
	lend := lender{a: b.app, dir: private, proxied: b.docker.egress().Network == sandbox.NetworkProxy, caches: packages(b.cacheMount, dir, project)}
	access, err := lend.access(ctx, usedBy(images))
	if err != nil {
		return err
	}
	if root == "" { // a Dockerfile without a context
		root = filepath.Join(private, "context")
		if err := os.Mkdir(root, 0o700); err != nil {
			return fmt.Errorf("make context: %w", err)
		}
	}
	runner := b.sandbox.runner(b.app, dir)
	for _, t := range images {
		if t.Untouched {
			continue
		}
		builder := oci.Builder{
			Context: root, Contexts: t.Contexts, Client: client, Store: dir, Runner: runner, IDs: sandbox.IDs(b.sandbox.ids),
			Access: access, StepEnv: t.StepEnv, Time: date, Created: date, Format: b.format, Git: b.checkout,
			Annotations: g.annotations, Compression: b.packing,
			NoCache: b.noCache || t.NoCache, Remembered: b.remember.memory(client, t, b.push),
			Secrecy: b.secrecy(t.Plan), Egress: b.docker.egress(), Ahead: t.ahead, ReportCopied: b.attests.statement, Project: project, Name: imageName(root, t.Key, b.docker), Output: show.output(), Progress: show, Now: now,
			Tags: b.onlyAt(g, t), Version: programVersion(),
		}
		if err := b.lend(&builder, t, private); err != nil {
			return err
		}
		if t.built, err = builder.Build(ctx, t.Plan); err != nil {
			if len(images) > 1 {
				return fmt.Errorf("image %s: %w", t.Key, err)
			}
			return err
		}
		b.tellOfSecrets(t.built.Found)
		if err := b.attest(ctx, &builder, t); err != nil {
			return err
		}
	}
	return nil
}

// onlyAt are the tags of an image that goes nowhere else, and beside which nothing
// goes.
func (b *buildRun) onlyAt(g *goal, t *target) []name.Tag {
	if !b.push || len(g.outputs) > 0 || b.attests.wanted() {
		return nil
	}
	return t.tags
}

// lend gives steps what the host lends them: secrets and agents. In a project
// every step has the secrets; a Dockerfile says which step has which.
func (b *buildRun) lend(builder *oci.Builder, t *target, private string) error {
	dir, err := os.MkdirTemp(private, "secrets-")
	if err != nil {
		return fmt.Errorf("keep secrets: %w", err)
	}
	list, err := b.app.secrets(slices.Concat(t.Secrets, b.secrets), dir)
	if err != nil {
		return err
	}
	builder.Secrets = map[string]string{}
	for _, s := range list {
		builder.Secrets[s.id] = s.file
	}
	if !b.docker.given() {
		if builder.Mounts, err = secretMounts(list[len(t.Secrets):]); err != nil {
			return err
		}
	}
	if builder.Agents, err = b.agents(slices.Concat(t.SSH, b.ssh)); err != nil {
		return err
	}
	if t.Epoch != nil {
		builder.Time = time.Unix(*t.Epoch, 0).UTC()
		builder.Created = builder.Time
	}
	return nil
}

// times are when the parts of a build ended.
type times struct{ start, resolved, built, done time.Time }
