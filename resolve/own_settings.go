package resolve

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/resolve/plan"
	"github.com/kanso-build/kanso/resolve/zenml"
)

// ownContext is what the build context of the user's own Dockerfile is called
// in plans, whose main context are the sources.
const ownContext = "build_context_root"

// ownConfig is how the user's own Dockerfile is built: before 0.93, ZenML took
// the options of an older key if there were no others.
func (r *recipe) ownConfig() zenml.BuildConfig {
	c := r.docker.ParentBuild
	if len(c.Options) == 0 && len(r.docker.OldOptions) > 0 && !r.facts.AtLeast("0.93.0") {
		return c.WithOptions(r.docker.OldOptions)
	}
	return c
}

// lowerOwn decides what the image of the user's own Dockerfile is made of, which
// b says how ZenML would have built.
func (r *recipe) lowerOwn(ctx context.Context, text []byte, b Build) error {
	d := r.docker
	file := from(r.o.Dir, d.Dockerfile)
	o := DockerfileOptions{
		File: d.Dockerfile, Text: text, Beside: file, Build: "linux/" + runtime.GOARCH, Platform: r.o.Platform,
		BuildArgs: map[string]string{}, Labels: map[string]string{}, Lend: r.o.Lend,
	}
	if o.Context = b.Context.Root; o.Context == "" {
		o.alone = dockerfileName
	}
	if d.ParentBuild.Dockerignore != "" {
		o.Ignore = from(r.o.Dir, d.ParentBuild.Dockerignore)
	}
	if err := r.ownOptions(&o); err != nil {
		return err
	}
	if r.o.Compat && d.ContextRoot != "" {
		o.only = map[string]bool{}
		for _, p := range b.Context.Paths {
			o.only[p] = true
		}
	}
	low, warnings, err := lowerFile(ctx, o, r.bases)
	if err != nil {
		if r.o.Compat { // what ZenML would have handed over can be written all the same
			r.out.Broken = append(r.out.Broken, err)
			return nil
		}
		return err
	}
	r.Warnings = append(r.Warnings, warnings...)
	for name, value := range low.StepEnv {
		r.out.StepEnv[name] = value
	}
	r.out.Epoch = low.Epoch
	r.takeOwn(low.Plan, o, text)
	return nil
}

// onOwn is a stage on the image of the user's own Dockerfile.
func (r *recipe) onOwn() plan.Stage {
	last := &r.own.Stages[len(r.own.Stages)-1]
	if last.Name == "" {
		last.Name = "own Dockerfile" // nothing in a Dockerfile can be called so
	}
	return plan.Stage{BaseStage: last.Name}
}

// takeOwn makes the plan of the user's own Dockerfile the beginning of the
// image's: its context is another one than that of the sources.
func (r *recipe) takeOwn(p plan.Plan, o DockerfileOptions, text []byte) {
	for _, s := range p.Stages {
		for i, step := range s.Steps {
			switch step := step.(type) {
			case plan.Copy:
				s.Steps[i] = moved(step, o.Context, text)
			case plan.Run:
				if o.Context != "" {
					moveMounts(step.Mounts)
				}
			case plan.Set:
				if len(step.OnBuild) > 0 {
					r.warnf("%s: ONBUILD is for images on top: it is kept, and nothing of it done for this one", o.File)
				}
			}
		}
	}
	if o.Context != "" {
		r.out.Contexts = map[string]string{ownContext: o.Context}
	}
	r.own = &p
}

// moved is a copy from the build context of the user's own Dockerfile. Without
// a context root there is the Dockerfile itself and nothing else.
func moved(c plan.Copy, root string, text []byte) plan.Copy {
	switch {
	case !inContext(c.From) || c.From.Context != "":
	case root != "":
		c.From.Context = ownContext
	case len(c.Files) > 0:
		if !slices.Contains(c.Patterns, dockerfileName) && !strings.HasSuffix(c.Dest, "/") {
			c.Dest += "/" // it is the directory's content
		}
		c.From.Inline = []plan.File{{Path: dockerfileName, Mode: 0o644, Data: string(text)}}
		c.Patterns, c.Files = []string{dockerfileName}, nil
	}
	return c
}

// moveMounts gives bind mounts of the build context the name that it has.
func moveMounts(list []plan.Mount) {
	for i, m := range list {
		if m.Type == plan.MountBind && inContext(m.From) && m.From.Context == "" {
			list[i].From.Context = ownContext
		}
	}
}

// baseEnv is the environment of what the image stands on.
func (r *recipe) baseEnv(ctx context.Context, stage plan.Stage) (map[string]string, error) {
	if r.own != nil {
		return envOf(ctx, *r.own, r.bases)
	}
	return envOf(ctx, plan.Plan{Stages: []plan.Stage{stage}}, r.bases)
}

// optionName is the name of a build option, of several that it has.
func optionName(name string) string {
	name = strings.ReplaceAll(name, "-", "_")
	other := map[string]string{
		"buildargs": "build_args", "build_arg": "build_args", "label": "labels", "nocache": "no_cache", "shmsize": "shm_size",
		"network": "network_mode", "add_host": "extra_hosts", "ulimit": "ulimits", "cachefrom": "cache_from", "secrets": "secret",
	}
	if n, ok := other[name]; ok {
		return n
	}
	return name
}

// ownOptions reads the options that the user's own Dockerfile is built with.
func (r *recipe) ownOptions(o *DockerfileOptions) error {
	key := "parent_image_build_config.build_options"
	if len(r.docker.ParentBuild.Options) == 0 {
		key = "build_options"
	}
	for _, option := range r.ownConfig().Each() {
		taken, err := r.ownOption(o, optionName(option.Name), option.Words)
		if err != nil {
			return r.docker.Errorf(key, "", "%s: %v", option.Name, err)
		}
		if !taken {
			r.Warnings = append(r.Warnings, r.docker.Warnf(key, "%s has no meaning here, ignored", option.Name))
		}
	}
	return nil
}

// ownOption reads an option, and says whether it means something.
func (r *recipe) ownOption(o *DockerfileOptions, name string, words []string) (taken bool, err error) {
	add := func(to *[]string) func(string) error {
		return func(w string) error { *to = append(*to, w); return nil }
	}
	set := func(to map[string]string) func(string) error {
		return func(w string) error {
			k, v, _ := strings.Cut(w, "=")
			to[k] = v
			return nil
		}
	}
	read, ok := map[string]func(word string) error{
		"pull":         func(string) error { return nil }, // registries are always asked
		"no_cache":     func(string) error { r.out.NoCache = true; return nil },
		"target":       func(w string) error { o.Target = w; return nil },
		"platform":     func(w string) error { o.Platform = cmp.Or(r.o.Platform, w); return nil },
		"labels":       set(o.Labels),
		"build_args":   set(o.BuildArgs),
		"network_mode": func(w string) (err error) { o.Network, err = ParseNetwork(w); return err },
		"shm_size":     func(w string) (err error) { o.ShmSize, err = ParseBytes(w); return err },
		"extra_hosts": func(w string) error {
			host, err := ParseHost(w)
			o.Hosts = append(o.Hosts, host)
			return err
		},
		"ulimits": func(w string) error {
			limit, err := ParseUlimit(w)
			o.Ulimits = append(o.Ulimits, limit)
			return err
		},
		"cache_from": add(&r.out.CacheFrom),
		"secret":     add(&r.out.Secrets),
		"ssh":        add(&r.out.SSH),
	}[name]
	if !ok {
		return false, nil
	}
	for _, w := range words {
		if err := read(w); err != nil {
			return true, err
		}
	}
	return true, nil
}

// mainOptions reads the options that ZenML's image is built with; those that
// say something of its steps are read where the steps are.
func (r *recipe) mainOptions() {
	for _, option := range r.docker.Build.Each() {
		switch optionName(option.Name) {
		case "pull", "labels", "platform", "build_args":
		case "no_cache":
			r.out.NoCache = true
		case "cache_from":
			r.out.CacheFrom = append(r.out.CacheFrom, option.Words...)
		default:
			r.Warnings = append(r.Warnings, r.docker.Warnf("build_config.build_options", "%s has no meaning here, ignored", option.Name))
		}
	}
}

// buildArgs are the build arguments of ZenML's image, where its Dockerfile
// declares them: variables of steps, but for those that an ENV below takes over.
// Those with a password in a URL are given by name.
func (r *recipe) buildArgs() (vars []plan.Var, names []string) {
	if !r.facts.BuildArguments {
		return nil, nil
	}
	for _, option := range r.docker.Build.Each() {
		if optionName(option.Name) != "build_args" {
			continue
		}
		for _, word := range option.Words {
			name, value, _ := strings.Cut(word, "=")
			switch {
			case slices.ContainsFunc(r.docker.Environment, func(v zenml.Var) bool { return v.Name == name }):
			case passwordInURL.MatchString(value):
				r.out.StepEnv[name] = value
				names = append(names, name)
			default:
				vars = append(vars, plan.Var{Name: name, Value: value})
			}
		}
	}
	return vars, names
}
