package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/plan"
)

// client returns what reaches registries.
func (a *app) client(r registryFlags, dir *cache.Dir, show oci.Progress) (*oci.Client, error) {
	roots, err := r.roots()
	if err != nil {
		return nil, err
	}
	certificates, err := r.certificates()
	if err != nil {
		return nil, err
	}
	c := &oci.Client{
		Keychain: a.keychain(), Insecure: r.insecure, RootCAs: roots, Certificates: certificates, Realms: r.realms, UserAgent: "kanso/" + version,
		Progress: show, Cache: dir, Now: now,
	}
	for _, m := range r.mirrors {
		mirror, err := oci.ParseMirror(m)
		if err != nil {
			return nil, usagef("--mirror %s: %w", m, err)
		}
		c.Mirrors = append(c.Mirrors, mirror)
	}
	return c, nil
}

// bases tells resolve of bases.
type bases struct{ client *oci.Client }

// Config implements [resolve.Bases].
func (b bases) Config(ctx context.Context, ref, platform string) (resolve.BaseConfig, error) {
	base, err := b.client.Base(ctx, ref, platform)
	if err != nil {
		return resolve.BaseConfig{}, err
	}
	file, err := base.Image.ConfigFile()
	if err != nil {
		return resolve.BaseConfig{}, fmt.Errorf("base %s: %w", ref, err)
	}
	c := file.Config
	out := resolve.BaseConfig{
		User: c.User, WorkingDir: c.WorkingDir, Shell: c.Shell, OnBuild: c.OnBuild,
		OS: base.Platform.OS, Architecture: base.Platform.Architecture, Variant: base.Platform.Variant,
	}
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		out.Env = append(out.Env, plan.Var{Name: name, Value: value})
	}
	return out, nil
}

// Expect implements [resolve.Bases].
func (b bases) Expect(ctx context.Context, ref, platform string) { b.client.Expect(ctx, ref, platform) }

// Digest implements [resolve.Bases].
func (b bases) Digest(ctx context.Context, ref string) string {
	base, err := b.client.Base(ctx, ref, "")
	if err != nil {
		return "" // resolve warns of it
	}
	return base.Digest.Hex
}

// IsLocal implements [resolve.Bases]: there is no container engine to ask.
func (bases) IsLocal(string) bool { return false }

// host runs commands for resolve.
type host struct{ *app }

// Command implements [resolve.Host].
func (h host) Command(ctx context.Context, dir string, argv []string) ([]byte, error) {
	return h.command(ctx, dir, argv)
}

// openCache opens the cache, making it if there is none. It must be closed.
func (a *app) openCache(_ context.Context, flag string) (*cache.Dir, error) {
	dir, err := a.env.cacheDir(flag)
	if err != nil {
		return nil, err
	}
	limit, err := a.env.cacheLimit()
	if err != nil {
		return nil, err
	}
	return cache.Open(dir, cache.Options{Remove: removeTree, Now: now, Limit: limit}) //nolint:contextcheck // what killed builds left is removed whatever becomes of this one
}

// removeTree deletes a directory. Files of subordinate ids can be deleted only
// where these ids exist.
func removeTree(ctx context.Context, dir string) error {
	err := layers.RemoveAll(dir)
	if err == nil {
		return nil
	}
	box, oerr := sandbox.Open(ctx, sandbox.Options{Dir: dir, IDs: sandbox.IDsSubuid})
	if oerr != nil {
		return err
	}
	return box.Call(ctx, sandbox.Call{Verb: "remove", Args: oci.RemoveArgs{Paths: []string{dir}}})
}
