package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/secrets"
	"github.com/kanso-build/kanso/resolve/dockerfile"
	"github.com/kanso-build/kanso/resolve/plan"
	"github.com/kanso-build/kanso/resolve/zenml"
)

// Where things are in the image.
const (
	appDir    = "/app"
	configDir = "/app/.zenconfig"
)

// allRW is what chmod -R a+rw adds.
const allRW fs.FileMode = 0o666

// planSteps are the steps of the Dockerfile that this version of ZenML
// generates, in its order.
func (r *recipe) planSteps(ctx context.Context, stage plan.Stage) ([]plan.Step, error) {
	installs, err := r.installs(ctx, stage)
	if err != nil {
		return nil, err
	}
	set := plan.Set{WorkingDir: appDir}
	if r.facts.ColorVariable {
		set.Env = append(set.Env, plan.Var{Name: "ZENML_LOGGING_COLORS_DISABLED", Value: r.colours()})
	}
	environment, err := r.environment(ctx, stage)
	if err != nil {
		return nil, err
	}
	late := environment
	if !r.facts.LateEnv {
		set.Env, late = append(set.Env, environment...), nil
	}
	for i := range installs {
		installs[i] = r.withSecrets(installs[i])
	}
	config, err := r.stackConfig()
	if err != nil {
		return nil, err
	}
	variables := plan.Set{Env: []plan.Var{{Name: "ZENML_CONFIG_PATH", Value: configDir}}}
	if r.facts.CodeVariable && r.out.DownloadsCode {
		variables.Env = slices.Insert(variables.Env, 0, plan.Var{Name: "ZENML_REQUIRES_CODE_DOWNLOAD", Value: "True"})
	}
	if r.facts.InitWarnings {
		variables.Env = slices.Insert(variables.Env, 0, plan.Var{Name: "ZENML_ENABLE_REPO_INIT_WARNINGS", Value: "False"})
	}
	steps := []plan.Step{set}
	if needsDir(installs) {
		steps = append(steps, plan.Write{Files: []plan.File{{Path: appDir, Mode: fs.ModeDir | 0o777}}, Owner: r.docker.User})
	}
	steps = append(steps, installs...)
	variables.Env = append(late, variables.Env...)
	steps = append(steps, variables)
	steps = append(steps, config...)
	sources := plan.Copy{
		Files: r.sources.Paths, Dest: appDir, Modes: plan.ModesGit, AddMode: allRW, Owner: r.docker.User, Adopt: true,
	}
	if r.o.Compat {
		sources.Modes = plan.ModesDisk
		sources.Files = slices.DeleteFunc(slices.Clone(sources.Files), func(p string) bool {
			_, generated := r.out.Builds[len(r.out.Builds)-1].Files[p]
			return generated
		})
		steps = append(steps, sources, r.generated())
	} else {
		steps = append(steps, sources)
	}
	return append(steps, r.last()...), nil
}

// generated is the step that writes what ZenML generated and nothing else
// brings: its context has the Dockerfile, too.
func (r *recipe) generated() plan.Step {
	w := plan.Write{Owner: r.docker.User}
	b := r.out.Builds[len(r.out.Builds)-1]
	for _, name := range b.Generated() {
		if name == dockerfileName {
			w.Files = append(w.Files, plan.File{Path: path.Join(appDir, name), Mode: allRW, Data: b.Files[name]})
		}
	}
	return w
}

// needsDir says whether a step runs before one that makes the working
// directory on its way.
func needsDir(installs []plan.Step) bool {
	if len(installs) == 0 {
		return false
	}
	i, ok := installs[0].(plan.Install)
	return !ok || i.File == ""
}

// passwordInURL is a URL with a password.
var passwordInURL = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^/\s@]*:[^/\s@]+@`)

// environment is what the image's environment gains before anything is
// installed. URLs with passwords, ZenML's documented way to a private index,
// are given to the steps that install and to nobody else; to the letter, they
// are kept.
func (r *recipe) environment(ctx context.Context, stage plan.Stage) ([]plan.Var, error) {
	if r.o.Compat {
		return r.literal(ctx, "environment", r.docker.Environment, stage)
	}
	var vars []plan.Var
	for _, v := range r.docker.Environment {
		if v.Name == "" || strings.ContainsAny(v.Name, "= \t\n\x00") {
			return nil, r.docker.Errorf("environment", "a name has neither blanks nor an equals sign", "%q is not the name of a variable", v.Name)
		}
		if passwordInURL.MatchString(v.Value) {
			r.out.StepEnv[v.Name] = v.Value
			r.warnf("%s holds a URL with a password: it is given to the steps that install and stays out of the image", v.Name)
			continue
		}
		r.warnOfVariable(v)
		vars = append(vars, plan.Var{Name: v.Name, Value: v.Value})
	}
	return vars, nil
}

// warnOfVariable warns of a variable that looks like a credential.
func (r *recipe) warnOfVariable(v zenml.Var) {
	if secrets.Variable(v.Name, v.Value) {
		r.warnf("%s looks like a credential, which everybody can read who gets the image: leave it out of environment, and let a ZenML secret or the orchestrator give it to the steps", v.Name)
	}
}

// literal are variables as Docker reads those of ZenML's Dockerfile, which
// escapes nothing.
func (r *recipe) literal(ctx context.Context, key string, list []zenml.Var, stage plan.Stage) ([]plan.Var, error) {
	var known map[string]string
	var vars []plan.Var
	for _, v := range list {
		if passwordInURL.MatchString(v.Value) {
			r.warnf("%s holds a URL with a password, which everybody can read who gets the image", v.Name)
		} else {
			r.warnOfVariable(v)
		}
		word := r.envWord(v)
		if known == nil && strings.Contains(word, "$") && r.bases != nil {
			var err error
			if known, err = r.baseEnv(ctx, stage); err != nil {
				return nil, err
			}
		}
		read, err := dockerfile.Env(word, known)
		if err != nil {
			if passwordInURL.MatchString(v.Value) {
				err = errors.New("its value cannot be read")
			}
			r.out.Broken = append(r.out.Broken, r.docker.Errorf(key, "without --compat zenml the value is taken as it is", "%s: ZenML's Dockerfile would not build: %v", v.Name, err))
			continue
		}
		vars = append(vars, read...)
	}
	return vars, nil
}

// withSecrets gives a step the variables that only steps may see: build
// arguments, and the names of those whose values are no plan's business.
func (r *recipe) withSecrets(s plan.Step) plan.Step {
	vars, names := r.buildArgs()
	for _, v := range r.docker.Environment {
		if _, ok := r.out.StepEnv[v.Name]; ok {
			names = append(names, v.Name)
		}
	}
	switch s := s.(type) {
	case plan.Install:
		s.Env, s.Vars = names, vars
		return s
	case plan.Run:
		s.Env, s.Vars = names, vars
		return s
	}
	return s
}

// installs are the steps that install Debian packages and requirements.
func (r *recipe) installs(ctx context.Context, stage plan.Stage) ([]plan.Step, error) {
	var steps []plan.Step
	if len(r.apt) > 0 {
		quoted := make([]string, len(r.apt))
		for i, p := range r.apt {
			quoted[i] = quote(p)
		}
		line := "apt-get update && apt-get install -y --no-install-recommends " + strings.Join(quoted, " ")
		steps = append(steps, plan.Run{Args: []string{"/bin/sh", "-c", line}, Packages: []string{"apt"}})
	}
	if !r.facts.RequirementFiles {
		if line := r.jointLine(); line != "" {
			steps = append(steps, plan.Install{Installer: zenml.Pip, Command: []string{"/bin/sh", "-c", line}})
		}
		return steps, nil
	}
	installer := r.installer()
	if installer != zenml.Pip && installer != zenml.UV {
		return nil, fmt.Errorf("installer %q: want pip or uv", installer)
	}
	if len(r.requirements) == 0 && !r.o.Compat {
		return steps, nil
	}
	if installer == zenml.UV {
		if err := r.checkVenv(ctx, stage); err != nil {
			return nil, err
		}
		if !r.o.RequireHashes { // then the base has to have it: nobody knows its hash
			steps = append(steps, plan.Install{Installer: zenml.Pip, Command: []string{"pip", "install", "uv"}})
		}
	}
	for _, f := range r.requirements {
		steps = append(steps, plan.Install{
			Installer: installer, Requirements: f.content, File: path.Join(appDir, f.name), Owner: r.docker.User,
			Command: r.command(f.name),
		})
	}
	return steps, nil
}

// checkVenv warns where uv would find no environment to install into.
func (r *recipe) checkVenv(ctx context.Context, stage plan.Stage) error {
	if r.base() == "" && r.own == nil || slices.ContainsFunc(r.docker.InstallerArgs, func(a zenml.Arg) bool { return a.Name == "system" || a.Name == "python" }) {
		return nil
	}
	env, err := r.baseEnv(ctx, stage)
	if err != nil {
		return err
	}
	if env["VIRTUAL_ENV"] == "" && env["CONDA_PREFIX"] == "" && env["UV_SYSTEM_PYTHON"] == "" {
		r.warnf("the base %s has no active virtual environment, so uv may refuse to install: python_package_installer_args: {system: null} lets it",
			cmp.Or(stage.Base, r.docker.Dockerfile))
	}
	return nil
}

// command is the installer's command line for a file in the working directory.
// Arguments stand in it as ZenML writes them, so a shell reads those with
// blanks.
func (r *recipe) command(file string) []string {
	line := r.installLine(file)
	if strings.ContainsAny(line, "'\"\\$`;&|<>()*?[]#~!{}\t") || slices.ContainsFunc(r.docker.InstallerArgs, func(a zenml.Arg) bool { return strings.Contains(a.Value, " ") }) {
		return []string{"/bin/sh", "-c", line}
	}
	return strings.Fields(line)
}

// jointLine is the one command of ZenML before 0.13: every requirement of
// every source, quoted and then sorted; empty for none.
func (r *recipe) jointLine() string {
	var quoted []string
	for _, f := range r.requirements {
		for line := range strings.Lines(f.content) {
			if line = strings.TrimSpace(line); line != "" {
				quoted = append(quoted, quote(line))
			}
		}
	}
	if len(quoted) == 0 {
		return ""
	}
	return "pip install --no-cache " + strings.Join(union(quoted), " ")
}

// quote quotes a word for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// stackConfig is the step that writes the stack's configuration.
func (r *recipe) stackConfig() ([]plan.Step, error) {
	if r.o.NoStackConfig || r.o.Compat && !r.facts.StackFiles {
		return nil, nil
	}
	var files []zenml.ConfigFile
	var err error
	switch {
	case !r.facts.StackFiles:
		files, err = zenml.StackConfig(r.stack, r.client)
	case r.o.Stack != "":
		var dropped []string
		if files, dropped, err = zenml.OldStackConfig(r.stack, r.client, r.ZenML); len(dropped) > 0 {
			r.warnf("fields that look like secrets stay empty in the stack's configuration: %s", strings.Join(dropped, ", "))
		}
	}
	if err != nil || len(files) == 0 {
		return nil, err
	}
	w := plan.Write{Owner: r.docker.User}
	dirs := map[string]bool{}
	for _, f := range files {
		p := path.Join(configDir, f.Path)
		w.Files = append(w.Files, plan.File{Path: p, Mode: allRW, Data: f.Content})
		for dir := path.Dir(p); dir != appDir && !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
			w.Files = append(w.Files, plan.File{Path: dir, Mode: fs.ModeDir | 0o777})
		}
	}
	slices.SortFunc(w.Files, func(a, b plan.File) int { return strings.Compare(a.Path, b.Path) })
	return []plan.Step{w}, nil
}

// last are the steps after the sources.
func (r *recipe) last() []plan.Step {
	var steps []plan.Step
	if line := r.docker.ProjectCommand; line != "" {
		run := plan.Run{Args: []string{"/bin/sh", "-c", line}, Packages: []string{zenml.Pip, zenml.UV, "apt"}}
		if r.docker.User != "" { // ZenML changes owners after it
			run.Below, run.Owner = appDir, r.docker.User
		}
		steps = append(steps, r.withSecrets(run))
	}
	set := plan.Set{User: r.docker.User}
	for _, v := range r.docker.Runtime {
		r.warnOfVariable(v)
		set.Env = append(set.Env, plan.Var{Name: v.Name, Value: v.Value})
	}
	if r.image.Entrypoint != "" {
		set.Entrypoint = []string{"/bin/sh", "-c", r.image.Entrypoint}
	}
	for _, l := range r.docker.Build.Labels() {
		if set.Labels == nil {
			set.Labels = map[string]string{}
		}
		set.Labels[l.Name] = l.Value.String()
	}
	if set.User != "" || len(set.Env) > 0 || len(set.Entrypoint) > 0 || len(set.Labels) > 0 {
		steps = append(steps, set)
	}
	return steps
}
