package llb_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
)

// bases tells kanso of the same images.
type bases struct{}

func (bases) Config(_ context.Context, ref, platform string) (dockerfile.Config, error) {
	img := image(ref)
	if platform == "" {
		platform = "linux/amd64"
	}
	img.Platform = platforms.MustParse(platform)
	c := dockerfile.Config{
		User: img.Config.User, WorkingDir: img.Config.WorkingDir, Shell: img.Config.Shell, OnBuild: img.Config.OnBuild,
		OS: img.OS, Architecture: img.Architecture,
	}
	for _, e := range img.Config.Env {
		name, value, _ := strings.Cut(e, "=")
		c.Env = append(c.Env, plan.Var{Name: name, Value: value})
	}
	return c, nil
}

// lowered is what kanso makes of a Dockerfile.
func lowered(ctx context.Context, text []byte, o dockerfile.Options) (answer, error) {
	var a answer
	got, err := dockerfile.Lower(ctx, text, o, bases{})
	if err != nil {
		return a, err
	}
	done := map[string]*stage{}
	var last *stage
	for _, s := range got.Plan.Stages {
		last = carryOut(s, done, got.StepEnv)
		if s.Name != "" {
			done[s.Name] = last
		}
	}
	a.Tree = last.tree
	a.Config = configText(last.config, last.author)
	for _, w := range got.Warnings {
		if w.Rule != "" {
			a.Warnings = append(a.Warnings, fmt.Sprintf("%d %s %s", w.Line, w.Rule, w.Text))
		}
	}
	slices.Sort(a.Warnings)
	return a, nil
}

// A stage is what a plan's stage has come to.
type stage struct {
	tree   string
	config dockerspec.DockerOCIImageConfig
	author string
}

// carryOut does with a stage what the engine would, in words.
func carryOut(s plan.Stage, done map[string]*stage, proxies map[string]string) *stage {
	st := &stage{tree: scratch}
	switch {
	case s.BaseStage != "":
		b := done[s.BaseStage]
		st.tree, st.config, st.author = b.tree, cloneConfig(b.config), b.author
	case s.Base != "scratch":
		st.tree = sourceOf(plan.Source{Image: s.Base, Platform: s.Platform}, done)
		img := image(s.Base)
		st.config = cloneConfig(img.Config)
	}
	for _, step := range s.Steps {
		switch step := step.(type) {
		case plan.Set:
			st.set(step)
		case plan.Write:
			for _, f := range step.Files {
				st.tree += mkdirText(f.Path, int(f.Mode.Perm()), step.Owner)
			}
		case plan.Copy:
			st.copy(step, done)
		case plan.Run:
			st.run(step, done, proxies)
		}
	}
	return st
}

func cloneConfig(c dockerspec.DockerOCIImageConfig) dockerspec.DockerOCIImageConfig {
	c.Env, c.OnBuild = slices.Clone(c.Env), slices.Clone(c.OnBuild)
	c.Labels, c.ExposedPorts, c.Volumes = maps.Clone(c.Labels), maps.Clone(c.ExposedPorts), maps.Clone(c.Volumes)
	return c
}

func (st *stage) set(s plan.Set) {
	c := &st.config
	for _, v := range s.Env {
		i := slices.IndexFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, v.Name+"=") })
		if i < 0 {
			c.Env = append(c.Env, "")
			i = len(c.Env) - 1
		}
		c.Env[i] = v.Name + "=" + v.Value
	}
	text := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	text(&c.WorkingDir, s.WorkingDir)
	text(&c.User, s.User)
	text(&c.StopSignal, s.StopSignal)
	text(&st.author, s.Author)
	if s.Entrypoint != nil {
		c.Entrypoint, c.Cmd = s.Entrypoint, nil
		if len(s.Entrypoint) == 0 {
			c.Entrypoint = nil
		}
	}
	if s.Cmd != nil {
		c.Cmd = s.Cmd
	}
	if s.Shell != nil {
		c.Shell = s.Shell
	}
	if s.DropOnBuild {
		c.OnBuild = nil
	}
	c.OnBuild = append(c.OnBuild, s.OnBuild...)
	if s.ArgsEscaped != nil {
		c.ArgsEscaped = *s.ArgsEscaped //nolint:staticcheck // it is what BuildKit sets
	}
	if h := s.Healthcheck; h != nil {
		c.Healthcheck = &dockerspec.HealthcheckConfig{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
	for _, p := range s.ExposedPorts {
		add(&c.ExposedPorts, p)
	}
	for _, v := range s.Volumes {
		add(&c.Volumes, v)
	}
	for k, v := range s.Labels {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[k] = v
	}
}

func add(to *map[string]struct{}, name string) {
	if *to == nil {
		*to = map[string]struct{}{}
	}
	(*to)[name] = struct{}{}
}

// sourceOf is a tree of files as text.
func sourceOf(s plan.Source, done map[string]*stage) string {
	switch {
	case s.Stage != "":
		return done[s.Stage].tree
	case s.Image == "scratch":
		return scratch
	case s.Image != "":
		ref, err := reference.ParseNormalizedNamed(s.Image)
		if err != nil {
			return "bad image " + s.Image + "\n"
		}
		p := s.Platform
		if p == "" {
			p = "linux/amd64"
		}
		return "image " + reference.TagNameOnly(ref).String() + " " + p + "\n"
	case s.URL != "":
		return fmt.Sprintf("url %s checksum=%s\n", s.URL, s.Checksum)
	case s.Git != "":
		remote, fragment, _ := strings.Cut(s.Git, "#")
		return fmt.Sprintf("git %s#%s keep=%v checksum=%s\n", remote, fragment, s.KeepGit, s.Checksum)
	case s.Inline != nil:
		out := scratch
		for _, f := range s.Inline {
			out += fmt.Sprintf("file /%s %o %q\n", f.Path, f.Mode.Perm(), f.Data)
		}
		return out
	}
	return "context\n"
}

func (st *stage) copy(c plan.Copy, done map[string]*stage) {
	mode := c.Chmod
	if n, err := strconv.ParseUint(mode, 8, 32); err == nil {
		mode = strconv.FormatUint(n, 8)
	}
	for i, p := range c.Patterns {
		from := c.From
		if from.Inline != nil {
			from.Inline = from.Inline[i : i+1]
		}
		src, parents := p, ""
		if c.Parents {
			root, rest, ok := strings.Cut(p, "/./")
			if !ok {
				root, rest = "", p
			}
			if rest == "." {
				rest = ""
			}
			src, parents = root, rest
		}
		if c.Link && st.tree != scratch { // merging with nothing is nothing
			st.tree += "link "
		}
		st.tree += copyLine(path.Join("/", src), c.Dest, parents, c.Owner, mode, c.Exclude, c.Unpack != plan.UnpackNo, sourceOf(from, done))
	}
}

func (st *stage) run(r plan.Run, done map[string]*stage, proxies map[string]string) {
	env := map[string]string{}
	for _, e := range st.config.Env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	for _, v := range r.Vars {
		env[v.Name] = v.Value
	}
	var words []string
	for k, v := range env {
		words = append(words, k+"="+v)
	}
	var mounts []string
	for _, m := range r.Mounts {
		mounts = append(mounts, planMount(m, done)...)
	}
	for _, f := range r.Lent {
		mounts = append(mounts, bindText(path.Dir(f.Path), true, "", scratch+fmt.Sprintf("file /%s %o %q\n", path.Base(f.Path), f.Mode.Perm(), f.Data)))
	}
	cwd := st.config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	st.tree += execText(r.Args, words, cwd, st.config.User, r.Network == "none", mounts)
	for _, h := range r.Hosts {
		st.tree += "host " + h + "\n"
	}
	if len(r.Env) > 0 {
		st.tree += fmt.Sprintf("proxies %s %s %s %s %s\n", proxies["HTTP_PROXY"], proxies["HTTPS_PROXY"], proxies["FTP_PROXY"], proxies["NO_PROXY"], proxies["ALL_PROXY"])
	}
}

func planMount(m plan.Mount, done map[string]*stage) []string {
	owner := fmt.Sprintf("%d:%d", m.UID, m.GID)
	switch m.Type {
	case plan.MountTmpfs:
		return []string{fmt.Sprintf("tmpfs %s size=%d\n", m.Target, m.Size)}
	case plan.MountSecret:
		var out []string
		if m.Env != "" {
			out = append(out, fmt.Sprintf("secret %s env=%s required=%v\n", m.ID, m.Env, m.Required))
		}
		if m.Target != "" {
			out = append(out, fmt.Sprintf("secret %s at %s %o %s required=%v\n", m.ID, m.Target, m.Mode, owner, m.Required))
		}
		return out
	case plan.MountSSH:
		return []string{fmt.Sprintf("ssh %s at %s %o %s required=%v\n", m.ID, m.Target, m.Mode, owner, m.Required)}
	case plan.MountCache:
		in := ""
		if m.From.Stage != "" || m.From.Image != "" && m.From.Image != "scratch" {
			in = sourceOf(m.From, done)
		}
		sharing := m.Sharing
		if sharing == "" {
			sharing = plan.SharingShared
		}
		return []string{cacheText(m.ID, m.Target, string(sharing), m.ReadOnly, strconv.FormatUint(uint64(m.Mode&fs.ModePerm), 8), owner, m.Path, in)}
	}
	return []string{bindText(m.Target, m.ReadOnly, m.Path, sourceOf(m.From, done))}
}
