package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
)

// projectFlags say what goes in the image.
type projectFlags struct {
	o            resolve.Options
	requirements []string // files
	compat       string
}

func (p *projectFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.o.Config, "config", "", "run configuration `FILE`")
	f.StringVar(&p.o.Stack, "stack", "", "stack, as `FILE` that zenml stack export wrote")
	f.StringVar(&p.o.Source, "pipeline-source", "", "pipeline in Python, `FILE:NAME`: the project's own ZenML says what its settings and steps are")
	f.StringVar(&p.o.Pipeline, "pipeline", "", "`NAME` of the pipeline")
	f.StringArrayVar(&p.o.Steps, "step", nil, "`NAME[:UPSTREAM,…]` of a step and of those that it waits for, in call order (repeatable), else those that the run configuration names, and others")
	f.BoolVar(&p.o.Dynamic, "dynamic", false, "the pipeline is dynamic: its steps are known only when it runs")
	f.StringVar(&p.o.Main, "main", "", "`FILE` of the pipeline: its directory is the source root where there is no repository")
	f.StringVar(&p.compat, "compat", "", "follow `WHAT` to the letter: zenml, the version's own behaviour")
	f.StringVar(&p.o.CodeRepository, "code-repository", "", "the sources are a clean and pushed checkout of a code repository of this `KIND` (github, gitlab) that ZenML knows")
	f.StringVar(&p.o.Wheel, "zenml-wheel", "", "a wheel `FILE` of ZenML that says what integrations need, else it is what is known or the base says")
	f.StringVar(&p.o.ZenML, "zenml-version", "", "`VERSION` of ZenML, else the project's")
	f.StringVar(&p.o.Python, "python", "", "`VERSION` of Python, else the project's")
	f.StringVar(&p.o.Base, "base", "", "base `IMAGE`: a name, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE")
	f.StringVar(&p.o.Platform, "platform", "", "`OS/ARCH[/VARIANT]` of the base")
	f.StringArrayVarP(&p.o.Requirements, "requirement", "r", nil, "a `REQUIREMENT` to install as well (repeatable)")
	f.StringArrayVar(&p.requirements, "requirements", nil, "a requirements `FILE` to install as well (repeatable)")
	f.BoolVar(&p.o.RequireHashes, "require-hashes", false, "install nothing whose hash does not stand in the requirements; uv has to be in the base")
	f.StringArrayVar(&p.o.Integrations, "integration", nil, "a ZenML integration's `NAME` to install as well (repeatable)")
	f.StringArrayVar(&p.o.Apt, "apt", nil, "a Debian `PACKAGE` to install as well (repeatable)")
	f.StringVar(&p.o.Installer, "installer", "", "`NAME` of the installer, pip or uv, else what settings or the ZenML version say")
	f.StringVar(&p.o.Dockerignore, "dockerignore", "", "ignore `FILE`, else .dockerignore in the source root")
	f.StringVar(&p.o.Matcher, "ignore-rules", "", "whose reading of ignore files: docker or docker-py, `NAME`")
	f.BoolVar(&p.o.NoStackConfig, "no-stack-config", false, "leave the stack's configuration out")
	f.StringArrayVar(&p.o.AllowSecrets, "allow-secret", nil, "a `PATH` of a file or directory that may go in though it looks like a secret (repeatable)")
}

// options are those for resolve, with the project directory from the arguments.
func (p *projectFlags) options(env environ, args []string) (resolve.Options, error) {
	o := p.o
	o.Dir, o.Env = ".", env
	if p.compat != "" && p.compat != "zenml" {
		return o, usagef("--compat %s: want zenml", p.compat)
	}
	o.Compat = p.compat == "zenml"
	if len(args) > 0 {
		o.Dir = args[0]
	}
	for _, file := range p.requirements {
		data, err := os.ReadFile(file)
		if err != nil {
			return o, fmt.Errorf("--requirements: %w", err)
		}
		o.RequirementPlaces = append(o.RequirementPlaces, make([]string, len(o.Requirements)-len(o.RequirementPlaces))...)
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				o.Requirements, o.RequirementPlaces = append(o.Requirements, line), append(o.RequirementPlaces, fmt.Sprintf("%s:%d", file, n))
			}
		}
	}
	return o, nil
}

// registryFlags say how registries are reached.
type registryFlags struct {
	mirrors, insecure, caCerts, realms, clientCerts []string
}

func (r *registryFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&r.mirrors, "mirror", nil, "another place for a registry's images, as `REGISTRY=HOST[/PATH]` (repeatable)")
	f.StringArrayVar(&r.insecure, "insecure", nil, "a registry's `HOST` that may speak plain HTTP (repeatable)")
	f.StringArrayVar(&r.caCerts, "ca-cert", nil, "a PEM `FILE` with an authority that registries may be certified by (repeatable)")
	f.StringArrayVar(&r.clientCerts, "client-cert", nil, "a PEM `FILE` with a certificate and its key, for registries that ask for one (repeatable)")
	f.StringArrayVar(&r.realms, "token-host", nil, "a `HOST` that may give tokens for registries of another domain, and to which registries may lead though it has a private address (repeatable)")
}

// roots are the system's certificate authorities with those of --ca-cert; nil
// without that flag.
func (r *registryFlags) roots() (*x509.CertPool, error) {
	if len(r.caCerts) == 0 {
		return nil, nil //nolint:nilnil // nil are the system's, as in crypto/tls
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, file := range r.caCerts {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--ca-cert: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-cert: %s has no certificate in PEM", file)
		}
	}
	return pool, nil
}

// certificates are those of --client-cert.
func (r *registryFlags) certificates() ([]tls.Certificate, error) {
	var all []tls.Certificate
	for _, file := range r.clientCerts {
		c, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			return nil, fmt.Errorf("--client-cert %s: %w", file, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// sandboxFlags say how steps are run.
type sandboxFlags struct{ ids, mode string }

func (s *sandboxFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.ids, "ids", "auto", "which user ids steps have, `IDS`: auto, single or subuid")
	f.StringVar(&s.mode, "mode", "", "how steps are run, `MODE`: overlay, tmpfs, copy, chroot or loader; else the best that works")
}

func (s *sandboxFlags) check() error {
	switch sandbox.IDs(s.ids) {
	case sandbox.IDsAuto, sandbox.IDsSingle, sandbox.IDsSubuid:
	default:
		return usagef("--ids %s: want auto, single or subuid", s.ids)
	}
	switch sandbox.Mode(s.mode) {
	case "", sandbox.ModeOverlay, sandbox.ModeTmpfs, sandbox.ModeCopy, sandbox.ModeChroot, sandbox.ModeLoader:
		return nil
	}
	return usagef("--mode %s: want overlay, tmpfs, copy, chroot or loader", s.mode)
}

// runner returns the function that opens sandboxes: one for each kind of ids,
// when it is needed first.
func (s *sandboxFlags) runner(a *app, dir *cache.Dir) func(context.Context, sandbox.IDs) (oci.Runner, error) {
	var mu sync.Mutex
	opened := map[sandbox.IDs]*sandbox.Sandbox{}
	return func(ctx context.Context, ids sandbox.IDs) (oci.Runner, error) {
		mu.Lock()
		defer mu.Unlock()
		if box, ok := opened[ids]; ok {
			return box, nil
		}
		box, err := sandbox.Open(ctx, sandbox.Options{Dir: dir.Scratch(), Mode: sandbox.Mode(s.mode), IDs: ids, Log: a.stderr})
		if err != nil {
			return nil, err
		}
		opened[ids] = box
		return box, nil
	}
}

// cacheFlag adds --cache-dir.
func cacheFlag(c *cobra.Command) *string {
	return c.Flags().String("cache-dir", "", "`DIR` for what is kept between builds")
}

// now is the program's clock.
func now() time.Time { return time.Now() }
