package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/resolve/plan"
)

// The permissions that mounts have if the plan names none.
const (
	cacheMode  = 0o755
	secretMode = 0o400
	agentMode  = 0o600
)

// A mounter makes what a command sees beside the image.
type mounter struct {
	b        *Builder
	st       *state
	r        Runner
	releases []func()
	foreign  bool              // the command is a user's own
	caches   map[string]string // directories that this command has already, by key
}

// release gives back what the mounts held.
func (m *mounter) release() {
	for _, f := range slices.Backward(m.releases) {
		f()
	}
}

// mounts returns what a command sees beside the image, in the order in which it
// is mounted: what is above comes first, of two at one place the later one is
// left.
func (m *mounter) mounts(ctx context.Context, list []plan.Mount) ([]sandbox.Mount, error) {
	held, err := m.holdCaches(ctx, list)
	if err != nil {
		return nil, err
	}
	var out []sandbox.Mount
	for i, p := range list {
		var got *sandbox.Mount
		switch p.Type {
		case plan.MountBind:
			got, err = m.bind(ctx, p)
		case plan.MountCache:
			got, err = m.cache(ctx, p, held[i])
		case plan.MountTmpfs:
			got = &sandbox.Mount{Kind: sandbox.MountTmpfs, ReadOnly: p.ReadOnly, Size: p.Size}
		case plan.MountSecret:
			got, err = m.secret(p)
		case plan.MountSSH:
			got, err = m.agent(ctx, p)
		default:
			err = errors.New("unknown type")
		}
		if err != nil {
			return nil, fmt.Errorf("mount %s %s: %w", p.Type, cmp.Or(p.Target, p.ID), err)
		}
		if got == nil {
			continue
		}
		got.Target = path.Clean(p.Target)
		out = append(slices.DeleteFunc(out, func(o sandbox.Mount) bool { return o.Target == got.Target }), *got)
	}
	slices.SortStableFunc(out, func(a, b sandbox.Mount) int { return strings.Compare(a.Target, b.Target) })
	return out, nil
}

// bind shows files of a source.
func (m *mounter) bind(ctx context.Context, p plan.Mount) (*sandbox.Mount, error) {
	lowers, err := m.trees(ctx, p)
	if err != nil {
		return nil, err
	}
	if lowers != nil {
		return &sandbox.Mount{Kind: sandbox.MountTrees, Lowers: lowers, Path: p.Path, ReadOnly: p.ReadOnly}, nil
	}
	tree, err := m.copyContext(ctx, p)
	if err != nil {
		return nil, err
	}
	return &sandbox.Mount{Kind: sandbox.MountCopy, Source: layers.TreeFiles(tree), Path: p.Path, ReadOnly: p.ReadOnly}, nil
}

// trees are the unpacked layers of a stage or image; nil if the source is a
// context.
func (m *mounter) trees(ctx context.Context, p plan.Mount) ([]string, error) {
	from, err := m.b.sourceState(ctx, m.st, p.From)
	if err != nil || from == nil {
		return nil, err
	}
	lowers, release, err := m.b.trees(ctx, from, m.r)
	if err != nil {
		return nil, err
	}
	m.releases = append(m.releases, release)
	if lowers == nil {
		lowers = []string{}
	}
	return lowers, nil
}

// sourceState is the stage or image that a source is; nil if it is a context.
func (b *Builder) sourceState(ctx context.Context, st *state, from plan.Source) (*state, error) {
	switch {
	case from.Stage != "":
		return st.earlier(ctx, from.Stage)
	case from.Image != "":
		return b.imageState(ctx, st, from)
	case from.URL != "", from.Git != "", from.Inline != nil:
		return nil, errors.New("only stages, images and directories can be mounted")
	}
	return nil, nil //nolint:nilnil // a context is no stage
}

// holdCaches locks the caches of a command: always in the same order, so that
// commands which wait for one another's do not wait forever.
func (m *mounter) holdCaches(ctx context.Context, list []plan.Mount) ([]string, error) {
	keys := make([]string, len(list))
	var order []int
	for i, p := range list {
		if p.Type != plan.MountCache {
			continue
		}
		from, err := m.sourceKey(ctx, p.From)
		if err != nil {
			return nil, fmt.Errorf("cache %s: %w", p.ID, err)
		}
		keys[i] = newKey("mount").add("project", m.b.Project).add("trees", m.r.Trees()).add("id", cmp.Or(p.ID, path.Clean(p.Target))).add("from", from...).
			add("path", p.Path).add("owner", strconv.Itoa(p.UID), strconv.Itoa(p.GID), p.Mode.String()).sum()
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	m.caches = map[string]string{}
	for _, i := range order {
		if m.caches[keys[i]] != "" {
			continue // one command's own mounts share it
		}
		sharing := list[i].Sharing
		dir, release, err := m.b.Store.Mount(ctx, keys[i], sharing == plan.SharingShared || sharing == "", sharing == plan.SharingLocked)
		if err != nil {
			return nil, fmt.Errorf("cache %s: %w", list[i].ID, err)
		}
		m.releases = append(m.releases, release)
		m.caches[keys[i]] = dir
	}
	return keys, nil
}

// sourceKey tells what a cache begins with: one that begins with something else
// is another one.
func (m *mounter) sourceKey(ctx context.Context, from plan.Source) ([]string, error) {
	st, err := m.b.sourceState(ctx, m.st, from)
	if err != nil || st == nil {
		return []string{from.Context}, err
	}
	return st.diffIDs(), nil
}

// cache shows a directory that lasts.
func (m *mounter) cache(ctx context.Context, p plan.Mount, key string) (*sandbox.Mount, error) {
	out := &sandbox.Mount{
		Kind: sandbox.MountCache, Source: m.caches[key], ReadOnly: p.ReadOnly,
		Mode: uint32(cmp.Or(p.Mode, cacheMode)), UID: p.UID, GID: p.GID,
	}
	below := strings.Trim(path.Clean("/"+p.Path), "/")
	given := p.UID != 0 || p.GID != 0 || out.Mode != cacheMode
	if _, err := os.Lstat(filepath.Join(out.Source, "fs")); err == nil || (p.From.Stage == "" && p.From.Image == "" && p.From.Context == "") || below == "" && given {
		return out, nil // it is there, or empty at first
	}
	lowers, err := m.trees(ctx, p)
	if err == nil && lowers == nil {
		var tree string
		tree, err = m.copyContext(ctx, p)
		lowers = []string{tree}
	}
	out.Lowers, out.Path = lowers, "/"+below
	return out, err
}

// secret shows a file with a secret in it; nil if nobody gave it.
func (m *mounter) secret(p plan.Mount) (*sandbox.Mount, error) {
	data, ok, err := m.b.readSecret(p)
	if err != nil || !ok || p.Target == "" {
		return nil, err
	}
	return &sandbox.Mount{Kind: sandbox.MountFile, Data: data, Mode: uint32(cmp.Or(p.Mode, secretMode)), UID: p.UID, GID: p.GID}, nil
}

// readSecret returns a secret, if there is one.
func (b *Builder) readSecret(p plan.Mount) (data []byte, ok bool, err error) {
	file, ok := b.Secrets[p.ID]
	if !ok && p.Required {
		return nil, false, fmt.Errorf("secret %q is required and was not given", p.ID)
	}
	if !ok {
		return nil, false, nil
	}
	if data, err = os.ReadFile(file); err != nil {
		return nil, false, fmt.Errorf("secret %q: %w", p.ID, err)
	}
	return data, true, nil
}

// lent are files that only the command sees.
func lent(files []plan.File) []sandbox.Mount {
	var out []sandbox.Mount
	for _, f := range files {
		out = append(out, sandbox.Mount{Kind: sandbox.MountFile, Target: f.Path, Data: []byte(f.Data), Mode: uint32(f.Mode.Perm())})
	}
	return out
}

// mountEnv are the variables that a command has because of its mounts: secrets,
// empty if nobody gave them, and the first agent's socket.
func (b *Builder) mountEnv(env []string, list []plan.Mount) ([]string, error) {
	for _, p := range list {
		if p.Type == plan.MountSSH {
			if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "SSH_AUTH_SOCK=") }) {
				env = append(env, "SSH_AUTH_SOCK="+p.Target)
			}
			break
		}
	}
	for _, p := range list {
		if p.Type != plan.MountSecret || p.Env == "" {
			continue
		}
		data, _, err := b.readSecret(p)
		if err != nil {
			return nil, err
		}
		env = setEnv(env, p.Env, string(data))
	}
	return env, nil
}
