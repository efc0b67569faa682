package resolve

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

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

// makePlan writes the plan: the steps of the Dockerfile that this version of
// ZenML generates, in its order.
func (r *resolution) makePlan(ctx context.Context) error {
	stage := plan.Stage{Base: cmp.Or(r.base(), r.facts.Base(r.Python)), Platform: r.o.Platform}
	installs, err := r.installs(ctx, stage)
	if err != nil {
		return err
	}
	environment := r.environment()
	for i := range installs {
		installs[i] = r.withSecrets(installs[i])
	}
	config, err := r.stackConfig()
	if err != nil {
		return err
	}
	set := plan.Set{WorkingDir: appDir, Env: environment}
	variables := plan.Set{Env: []plan.Var{{Name: "ZENML_CONFIG_PATH", Value: configDir}}}
	if r.facts.InitWarnings {
		variables.Env = slices.Insert(variables.Env, 0, plan.Var{Name: "ZENML_ENABLE_REPO_INIT_WARNINGS", Value: "False"})
	}
	steps := []plan.Step{set}
	if needsDir(installs) {
		steps = append(steps, plan.Write{Files: []plan.File{{Path: appDir, Mode: fs.ModeDir | 0o777}}, Owner: r.docker.User})
	}
	steps = append(steps, installs...)
	steps = append(steps, variables)
	steps = append(steps, config...)
	steps = append(steps, plan.Copy{
		Files: r.Files.Paths, Dest: appDir, Modes: plan.ModesGit, AddMode: allRW, Owner: r.docker.User, Adopt: true,
	})
	steps = append(steps, r.last()...)
	stage.Steps = steps
	r.Plan = plan.Plan{Stages: []plan.Stage{stage}}
	return nil
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
// are given to the steps that install and to nobody else.
func (r *resolution) environment() []plan.Var {
	var vars []plan.Var
	for _, v := range r.docker.Environment {
		if passwordInURL.MatchString(v.Value) {
			r.StepEnv[v.Name] = v.Value
			r.warnf("%s holds a URL with a password: it is given to the steps that install and stays out of the image", v.Name)
			continue
		}
		vars = append(vars, plan.Var{Name: v.Name, Value: v.Value})
	}
	return vars
}

// withSecrets names the variables that only steps may see.
func (r *resolution) withSecrets(s plan.Step) plan.Step {
	var names []string
	for _, v := range r.docker.Environment {
		if _, ok := r.StepEnv[v.Name]; ok {
			names = append(names, v.Name)
		}
	}
	switch s := s.(type) {
	case plan.Install:
		s.Env = names
		return s
	case plan.Run:
		s.Env = names
		return s
	}
	return s
}

// installs are the steps that install Debian packages and requirements.
func (r *resolution) installs(ctx context.Context, stage plan.Stage) ([]plan.Step, error) {
	files, apt, err := r.requirements(ctx)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	if len(apt) > 0 {
		quoted := make([]string, len(apt))
		for i, p := range apt {
			quoted[i] = quote(p)
		}
		line := "apt-get update && apt-get install -y --no-install-recommends " + strings.Join(quoted, " ")
		steps = append(steps, plan.Run{Args: []string{"/bin/sh", "-c", line}, Packages: []string{"apt"}})
	}
	if !r.facts.RequirementFiles {
		return append(steps, r.jointInstall(files)...), nil
	}
	installer := cmp.Or(r.o.Installer, r.docker.Installer, r.facts.Installer)
	if installer != zenml.Pip && installer != zenml.UV {
		return nil, fmt.Errorf("installer %q: want pip or uv", installer)
	}
	if len(files) == 0 {
		return steps, nil
	}
	if installer == zenml.UV {
		if err := r.checkVenv(ctx, stage); err != nil {
			return nil, err
		}
		steps = append(steps, plan.Install{Installer: zenml.Pip, Command: []string{"pip", "install", "uv"}})
	}
	for _, f := range files {
		steps = append(steps, plan.Install{
			Installer: installer, Requirements: f.content, File: path.Join(appDir, f.name), Owner: r.docker.User,
			Command: r.command(installer, f.name),
		})
	}
	return steps, nil
}

// checkVenv warns where uv would find no environment to install into.
func (r *resolution) checkVenv(ctx context.Context, stage plan.Stage) error {
	if r.base() == "" || slices.ContainsFunc(r.docker.InstallerArgs, func(a zenml.Arg) bool { return a.Name == "system" || a.Name == "python" }) {
		return nil
	}
	config, err := r.bases.Config(ctx, stage.Base, stage.Platform)
	if err != nil {
		return err
	}
	if config.Env["VIRTUAL_ENV"] == "" && config.Env["CONDA_PREFIX"] == "" && config.Env["UV_SYSTEM_PYTHON"] == "" {
		r.warnf("the base %s has no active virtual environment, so uv may refuse to install: python_package_installer_args: {system: null} lets it", stage.Base)
	}
	return nil
}

// command is the installer's command line for a file in the working directory.
// Arguments stand in it as ZenML writes them, so a shell reads those with
// blanks.
func (r *resolution) command(installer, file string) []string {
	argv := []string{"pip", "install"}
	args := []zenml.Arg{{Name: "no-cache-dir"}}
	if installer == zenml.UV {
		argv = []string{"uv", "pip", "install"}
	} else if r.facts.Timeout {
		args = append(args, zenml.Arg{Name: "default-timeout", Value: "60", HasValue: true})
	}
	for _, a := range r.docker.InstallerArgs {
		i := slices.IndexFunc(args, func(have zenml.Arg) bool { return have.Name == a.Name })
		if i < 0 {
			args = append(args, a)
		} else {
			args[i] = a
		}
	}
	plainly := true
	for _, a := range args {
		word := "--" + a.Name
		if a.HasValue {
			word += "=" + a.Value
		}
		plainly = plainly && !strings.ContainsAny(word, " \t\n'\"\\$`;&|<>()*?[]#~!{}")
		argv = append(argv, word)
	}
	argv = append(argv, "-r", file)
	if plainly {
		return argv
	}
	return []string{"/bin/sh", "-c", strings.Join(argv, " ")}
}

// jointInstall is the one command of ZenML before 0.13: every requirement of
// every source, quoted and then sorted.
func (r *resolution) jointInstall(files []requirementFile) []plan.Step {
	var quoted []string
	for _, f := range files {
		for line := range strings.Lines(f.content) {
			if line = strings.TrimSpace(line); line != "" {
				quoted = append(quoted, quote(line))
			}
		}
	}
	if len(quoted) == 0 {
		return nil
	}
	line := "pip install --no-cache " + strings.Join(union(quoted), " ")
	return []plan.Step{plan.Install{Installer: zenml.Pip, Command: []string{"/bin/sh", "-c", line}}}
}

// quote quotes a word for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// stackConfig is the step that writes the stack's configuration.
func (r *resolution) stackConfig() ([]plan.Step, error) {
	if r.o.NoStackConfig {
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
func (r *resolution) last() []plan.Step {
	var steps []plan.Step
	if line := r.docker.ProjectCommand; line != "" {
		run := plan.Run{Args: []string{"/bin/sh", "-c", line}, Packages: []string{zenml.Pip, zenml.UV, "apt"}}
		if r.docker.User != "" { // ZenML changes owners after it
			run.Below, run.Owner = appDir, r.docker.User
		}
		steps = append(steps, r.withSecrets(run))
	}
	var set plan.Set
	set.User = r.docker.User
	for _, v := range r.docker.Runtime {
		set.Env = append(set.Env, plan.Var{Name: v.Name, Value: v.Value})
	}
	if set.User != "" || len(set.Env) > 0 {
		steps = append(steps, set)
	}
	return steps
}
