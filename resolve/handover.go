package resolve

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// dockerfileName is what a Dockerfile is called in a context.
const dockerfileName = "Dockerfile"

// A Build is what ZenML would have handed to Docker for one image.
type Build struct {
	// Name is what the image is called; empty without a pipeline's name.
	Name string
	// Builder is the flavor of the image builder.
	Builder string
	// Push says that the image is pushed.
	Push bool
	// Options are build options by ZenML's names, and CLI the same as docker
	// build takes them.
	Options map[string]any
	CLI     []string
	// Files are those that ZenML generated, by name: the Dockerfile and
	// requirement files.
	Files map[string]string
	// Context are the other members of the build context; it has no root if
	// there are none.
	Context FileSet
	// Own says that Dockerfile is the user's own.
	Own bool
}

// handOver notes what ZenML would hand to Docker for the image itself.
func (r *recipe) handOver(base string) (err error) {
	registry, _ := r.stack.Registry()
	b := Build{Builder: r.stack.ImageBuilder(), Push: registry != "", Files: map[string]string{}, Context: r.sources}
	if len(r.out.Names) > 0 {
		b.Name = r.out.Names[0]
	}
	config := r.docker.Build
	if r.facts.SaysPull {
		config = config.WithPull(r.pulls(base, registry, b.Builder), r.facts.ForcesPull)
	}
	b.Options, b.CLI = config.Set(), config.CLI()
	for _, f := range r.requirements {
		if b.Files[f.name], err = r.packed(f.name, f.content); err != nil {
			return err
		}
	}
	b.Files[dockerfileName] = r.dockerfileText(base)
	r.out.Builds = append(r.out.Builds, b)
	return nil
}

// pulls says whether ZenML has the base pulled (zenml.md §4).
func (r *recipe) pulls(base, registry, builder string) bool {
	here := builder == "local"
	switch {
	case r.base() == "" && r.docker.Dockerfile == "" || base == r.facts.Base(minor(r.Python)):
		return false
	case r.docker.Dockerfile != "" && (registry == "" || here):
		return false
	case !here:
		return true
	}
	return !r.bases.IsLocal(base)
}

// ownDockerfile notes the build of the user's own Dockerfile, and returns the
// name of its image, which is the base of ZenML's.
func (r *recipe) ownDockerfile(ctx context.Context, base, registry, repository, tag string, needed bool) (string, error) {
	d := r.docker
	file := from(r.o.Dir, d.Dockerfile)
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("dockerfile: %w", err)
	}
	if r.baseOrDefault() != r.facts.Base(minor(r.Python)) {
		r.Warnings = append(r.Warnings, d.Warnf("parent_image", "ignored: the Dockerfile %s makes the base", d.Dockerfile))
	}
	config := r.ownConfig()
	b := Build{
		Builder: r.stack.ImageBuilder(), Options: config.Set(), CLI: config.CLI(),
		Files: map[string]string{dockerfileName: pyText(data)}, Own: true,
	}
	push := b.Builder != "local" || !needed
	b.Push = push && registry != ""
	switch {
	case !needed && tag != "":
		b.Name = registry + repository + ":" + tag
	case needed:
		name := cmp.Or(tag, "own") + "-intermediate-build"
		if r.facts.SanitizedTags {
			name = sanitize(name)
		}
		if !r.facts.OwnRegistries {
			repository = cmp.Or(d.Repository, "zenml")
		}
		b.Name = repository + ":" + name
		if !r.facts.OwnTags {
			b.Name = "zenml-intermediate-build:" + cmp.Or(r.o.Pipeline, "own")
		}
		if push {
			b.Name = registry + b.Name
		}
		base = b.Name
	}
	if d.ContextRoot != "" {
		if b.Context, err = r.packedContext(ctx); err != nil {
			return "", err
		}
	}
	r.out.Builds = append(r.out.Builds, b)
	return base, r.lowerOwn(ctx, data, b)
}

// packedContext are the files that ZenML packs for the user's own Dockerfile.
func (r *recipe) packedContext(ctx context.Context) (FileSet, error) {
	d := r.docker
	o := FileOptions{
		Root: from(r.o.Dir, d.ContextRoot), Matcher: MatcherDockerPy, Literal: true, Allow: r.o.AllowSecrets, WarnOfSecrets: r.o.WarnOfSecrets,
		DropIgnore: !r.facts.PacksDockerignore, DropZen: !r.facts.KeepsZen,
	}
	if d.ParentBuild.Dockerignore != "" {
		o.Ignore = from(r.o.Dir, d.ParentBuild.Dockerignore)
	}
	if err := isDir(o.Root); err != nil {
		return FileSet{}, d.Errorf("build_context_root", "paths in settings are relative to the directory that kanso is started in", "the build context cannot be read: %v", err)
	}
	return Files(ctx, o)
}

// A writer collects the lines of a Dockerfile.
type writer struct{ lines []string }

func (w *writer) add(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// dockerfileText is the Dockerfile that this version of ZenML generates, from
// 0.13 on (zenml.md §9), and for earlier ones §21.
func (r *recipe) dockerfileText(base string) string {
	f, d := r.facts, r.docker
	w := &writer{}
	w.add("FROM %s", base)
	w.add("WORKDIR %s", appDir)
	if f.ColorVariable {
		w.add("ENV ZENML_LOGGING_COLORS_DISABLED=%s", r.colours())
	}
	if f.BuildArguments {
		for _, name := range d.Build.BuildArgs() {
			w.add("ARG %s", name)
		}
	}
	if !f.LateEnv {
		r.writeEnv(w, d.Environment)
	}
	if line := aptLine(r.apt); line != "" {
		w.add("RUN %s", line)
	}
	mount := ""
	if d.CacheMount != "" {
		mount = "--mount=" + d.CacheMount + " "
	}
	r.writeInstalls(w, mount)
	if f.LateEnv {
		r.writeEnv(w, d.Environment)
	}
	r.writeSources(w)
	if d.ProjectCommand != "" {
		w.add("RUN %s%s", mount, d.ProjectCommand)
	}
	r.writeEnd(w)
	return strings.Join(w.lines, "\n")
}

// writeEnv writes variables of the user's.
func (r *recipe) writeEnv(w *writer, list []zenml.Var) {
	for _, v := range list {
		w.add("ENV %s", r.envWord(v))
	}
}

// writeInstalls writes the installs of requirements.
func (r *recipe) writeInstalls(w *writer, mount string) {
	f := r.facts
	if !f.RequirementFiles {
		if line := r.jointLine(); line != "" {
			w.add("RUN %s", line)
		}
		return
	}
	uv := r.installer() == zenml.UV
	if uv && !f.UVEachTime {
		w.add("RUN pip install uv")
	}
	for _, file := range r.requirements {
		w.add("COPY %s .", file.name)
		if uv && f.UVEachTime {
			w.add("RUN pip install uv")
		}
		w.add("RUN %s%s", mount, r.installLine(file.name))
	}
}

// writeSources writes ZenML's own variables and the copy of the context.
func (r *recipe) writeSources(w *writer) {
	f := r.facts
	if f.InitWarnings {
		w.add("ENV ZENML_ENABLE_REPO_INIT_WARNINGS=False")
	}
	if f.CodeVariable && r.out.DownloadsCode {
		w.add("ENV ZENML_REQUIRES_CODE_DOWNLOAD=True")
	}
	config := "ENV ZENML_CONFIG_PATH=" + configDir
	if f.RequirementFiles {
		w.add("%s", config)
	}
	w.add("COPY . .")
	w.add("RUN chmod -R a+rw .")
	if !f.RequirementFiles {
		w.add("%s", config)
	}
}

// writeEnd writes what only changes the image's configuration, and owners.
func (r *recipe) writeEnd(w *writer) {
	if user := r.docker.User; user != "" {
		lines := []string{"RUN chown -R " + user + " .", "USER " + user}
		if !r.facts.ChownFirst {
			slices.Reverse(lines)
		}
		w.lines = append(w.lines, lines...)
	}
	for _, v := range r.docker.Runtime {
		w.add("ENV %s", r.envWord(v))
	}
	if r.image.Entrypoint != "" {
		w.add("ENTRYPOINT %s", r.image.Entrypoint)
	}
}

// colours is what images of old versions are told of colours in logs.
func (r *recipe) colours() string {
	if isSet(r.o.Env["ZENML_LOGGING_COLORS_DISABLED"]) {
		return "True"
	}
	return "False"
}

// envWord is a variable as ZenML writes it into its Dockerfile. It escapes
// nothing.
func (r *recipe) envWord(v zenml.Var) string {
	if r.facts.QuotesEnv {
		return v.Name + "='" + v.Value + "'"
	}
	return v.Name + "=" + v.Value
}

// installer is the one that installs requirements.
func (r *recipe) installer() string {
	return cmp.Or(r.o.Installer, r.docker.Installer, r.facts.Installer)
}

// installLine is the command line that installs a file, as ZenML writes it,
// its blanks included.
func (r *recipe) installLine(file string) string {
	uv := r.installer() == zenml.UV
	if !r.facts.ArgsLine {
		hashes := ""
		if r.o.RequireHashes {
			hashes = "--" + requireHashes
		}
		switch {
		case uv:
			return "uv pip install --system --no-cache-dir " + hashes + " -r " + file
		case r.facts.Timeout:
			return "pip install --default-timeout=60 --no-cache-dir " + hashes + " -r " + file
		}
		return "pip install --no-cache-dir " + hashes + " -r " + file
	}
	words := []string{}
	for _, a := range r.installerArgs() {
		word := "--" + a.Name
		if a.HasValue {
			word += "=" + a.Value
		}
		words = append(words, word)
	}
	command := "pip install"
	if uv {
		command = "uv pip install"
	}
	return command + " " + strings.Join(words, " ") + " -r " + file
}

// installerArgs are the arguments of the installer: ZenML's own, with the
// user's over them and after them.
func (r *recipe) installerArgs() []zenml.Arg {
	args := []zenml.Arg{{Name: "no-cache-dir"}}
	if r.installer() == zenml.Pip && r.facts.Timeout {
		args = append(args, zenml.Arg{Name: "default-timeout", Value: "60", HasValue: true})
	}
	if r.installer() == zenml.UV && r.facts.UVSystem {
		args = append(args, zenml.Arg{Name: "system"})
	}
	for _, a := range r.docker.InstallerArgs {
		i := slices.IndexFunc(args, func(have zenml.Arg) bool { return have.Name == a.Name })
		if i < 0 {
			args = append(args, a)
		} else {
			args[i] = a
		}
	}
	if r.docker.CacheMount != "" {
		args = slices.DeleteFunc(args, func(a zenml.Arg) bool { return a.Name == "no-cache-dir" })
	}
	return args
}

// aptLine is the command line that installs Debian packages; empty for none.
func aptLine(packages []string) string {
	if len(packages) == 0 {
		return ""
	}
	quoted := make([]string, len(packages))
	for i, p := range packages {
		quoted[i] = "'" + p + "'"
	}
	return "apt-get update && apt-get install -y --no-install-recommends " + strings.Join(quoted, " ")
}

// Generated are the names of the files that ZenML generated, sorted.
func (b Build) Generated() []string {
	names := make([]string, 0, len(b.Files))
	for name := range b.Files {
		names = append(names, filepath.ToSlash(name))
	}
	slices.Sort(names)
	return names
}
