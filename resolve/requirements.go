package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// A requirementFile is installed in one go.
type requirementFile struct{ name, content string }

// packages are the requirement files in the order in which the version of
// ZenML installs them, and the Debian packages that go with them (zenml.md
// §8.2, §8.3).
func (r *recipe) packages(ctx context.Context) (files []requirementFile, apt []string, err error) {
	if len(r.docker.Integrations)+len(r.o.Integrations) > 0 || r.docker.StackPackages && len(r.stack.Components) > 0 {
		if err := r.findCatalogue(ctx); err != nil {
			return nil, nil, err
		}
	}
	source := r.requirementSource()
	local, replicated, err := r.replicated(ctx)
	if err != nil {
		return nil, nil, err
	}
	integrations, integrationApt, err := r.integrations()
	if err != nil {
		return nil, nil, err
	}
	exported, err := r.exported(ctx, source)
	if err != nil {
		return nil, nil, err
	}
	user, err := r.userRequirements(source)
	if err != nil {
		return nil, nil, err
	}
	stack, stackApt, err := r.stackRequirements()
	if err != nil {
		return nil, nil, err
	}
	apt = slices.Concat(r.docker.Apt, r.o.Apt, stackApt)
	if r.facts.IntegrationApt || !r.o.Compat {
		apt = append(apt, integrationApt...)
	}
	add := func(name, content string, always bool) {
		if content != "" && (r.o.Compat || strings.TrimSpace(content) != "") || always && r.o.Compat {
			files = append(files, requirementFile{name, content})
		}
	}
	add(".zenml_local_requirements", local, replicated)
	if !r.facts.UserLast {
		add(".zenml_user_requirements", user, false)
		add(".zenml_integration_requirements", strings.Join(union(stack, integrations), "\n"), false)
		return files, apt, nil
	}
	add(".zenml_stack_integration_requirements", strings.Join(stack, "\n"), false)
	add(".zenml_deployment_requirements", strings.Join(r.image.Server, "\n"), false)
	add(".zenml_integration_requirements", strings.Join(integrations, "\n"), false)
	add(".zenml_pyproject_requirements", exported, source.pyproject != "")
	add(".zenml_user_requirements", user, false)
	return files, apt, nil
}

// A requirementSource says where the user's requirements stand.
type requirementSource struct {
	lines     []string
	file      string // of requirements
	pyproject string
	implicit  bool // found in the source root
}

// requirementSource is what the settings name, or what is found in the source
// root where they say that it may be (zenml.md §8.1).
func (r *recipe) requirementSource() requirementSource {
	d := r.docker
	s := requirementSource{lines: d.Requirements, file: d.RequirementsFile, pyproject: d.Pyproject}
	if len(s.lines) > 0 || s.file != "" || s.pyproject != "" || d.Replicate != "" || !r.facts.AtLeast("0.82.1") {
		return s
	}
	for _, name := range []string{"requirements.txt", "pyproject.toml"} {
		file := filepath.Join(r.Context, name)
		if _, err := os.Stat(file); err != nil {
			continue
		}
		switch {
		case !d.Detect:
			r.warnf("%s is not installed: name it in the settings (requirements, pyproject_path), or set disable_automatic_requirements_detection: false", name)
		case name == "requirements.txt":
			s.file, s.implicit = file, true
		default:
			s.pyproject, s.implicit = file, true
		}
		return s
	}
	return s
}

// printed is what a command printed.
type printed struct {
	out []byte
	err error
}

// print runs a command of the user's machine, each once.
func (r *resolution) print(ctx context.Context, argv []string) ([]byte, error) {
	key := strings.Join(argv, "\x00")
	p, ok := r.printed[key]
	if !ok {
		p.out, p.err = r.host.Command(ctx, r.o.Dir, argv)
		r.printed[key] = p
	}
	return p.out, p.err
}

// replicated are the requirements of the project's own environment.
func (r *recipe) replicated(ctx context.Context) (content string, wanted bool, err error) {
	line := r.docker.Replicate
	if line == "" {
		return "", false, nil
	}
	argv := shell(line)
	if r.docker.ReplicateDefault && r.venv.dir != "" && !r.o.Compat {
		argv = []string{filepath.Join(r.venv.dir, "bin", "python"), "-m", "pip", "freeze"}
	}
	out, err := r.print(ctx, argv)
	if err != nil {
		return "", true, r.docker.Errorf("replicate_local_python_environment", "run the command yourself in that directory to see why",
			"%s: %v", strings.Join(argv, " "), err)
	}
	return string(out), true, nil
}

// exportCommands are what ZenML tries, until one works, to make a requirements
// file of a pyproject.toml.
var exportCommands = []string{ //nolint:gochecknoglobals // a constant table
	"uv export --format=requirements-txt --directory={directory} --no-hashes --no-emit-project",
	"poetry export --format=requirements.txt --directory={directory} --without-hashes",
}

// exported are the requirements of a pyproject.toml.
func (r *recipe) exported(ctx context.Context, s requirementSource) (string, error) {
	if s.pyproject == "" {
		return "", nil
	}
	const key = "pyproject_path"
	file := from(r.o.Dir, s.pyproject)
	if _, err := os.Stat(file); err != nil {
		return "", r.docker.Errorf(key, "paths in settings are relative to the directory that kanso is started in", "%s does not exist", s.pyproject)
	}
	commands := exportCommands
	if own := r.docker.PyprojectCommand; len(own) > 0 {
		commands = []string{strings.Join(own, " ")}
	}
	var failed []string
	for _, c := range commands {
		if r.o.RequireHashes && len(r.docker.PyprojectCommand) == 0 {
			c = exportWithHashes(c)
		}
		line, err := pyFormat(c, filepath.Dir(file))
		if err != nil {
			return "", r.docker.Errorf("pyproject_export_command", "{directory} is the only name; {{ and }} are braces", "%s: %v", c, err)
		}
		out, err := r.print(ctx, shell(line))
		if err == nil {
			return string(out), nil
		}
		failed = append(failed, fmt.Sprintf("%s: %v", line, err))
	}
	return "", r.docker.Errorf(key, "pyproject_export_command names a command that prints requirements",
		"the dependencies cannot be exported: %s", strings.Join(failed, "; "))
}

// userRequirements are those of the settings and of the command line.
func (r *recipe) userRequirements(s requirementSource) (string, error) {
	text := strings.Join(s.lines, "\n")
	if s.file == "" && len(s.lines) == 0 && r.docker.EmptyFile() {
		return "", r.docker.Errorf("requirements", "leave the key out", "requirements file %q cannot be read: it is no file", s.file)
	}
	if s.file != "" {
		data, err := os.ReadFile(from(r.o.Dir, s.file))
		if errors.Is(err, fs.ErrNotExist) {
			return "", r.docker.Errorf("requirements",
				"a string is the path of a file, relative to the directory that kanso is started in; requirements themselves are a list: ["+s.file+"]",
				"requirements file %s does not exist", s.file)
		}
		if err != nil {
			return "", r.docker.Errorf("requirements", "", "requirements file %s cannot be read: %v", s.file, err)
		}
		text = pyText(data)
	}
	r.userText = text
	if len(r.o.Requirements) > 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += strings.Join(r.o.Requirements, "\n")
	}
	return text, nil
}

// integrations are what the named integrations need.
func (r *recipe) integrations() (python, apt []string, err error) {
	for _, name := range r.docker.Integrations {
		i, err := r.table.Integration(name)
		var e *zenml.Error
		if errors.As(err, &e) {
			at := r.docker.Line("required_integrations")
			e.File, e.Line, e.Msg = at.File, at.Line, r.docker.Path("required_integrations")+": "+e.Msg
		}
		if err != nil {
			return nil, nil, err
		}
		python, apt = append(python, i.Requirements...), append(apt, i.Apt...)
	}
	for _, name := range r.o.Integrations {
		i, err := r.table.Integration(name)
		if err != nil {
			return nil, nil, err
		}
		python, apt = append(python, i.Requirements...), append(apt, i.Apt...)
	}
	return union(python), apt, nil
}

// stackRequirements are what the stack's components need, and the code
// repository if the sources come from there.
func (r *recipe) stackRequirements() (python, apt []string, err error) {
	if !r.docker.StackPackages {
		return nil, nil, nil
	}
	python, apt = r.stack.Requirements(r.table)
	if r.facts.LocalExtra && r.stack.RunsHere() && !r.client.IsServer() {
		python = union(python, []string{"zenml[local]==" + r.ZenML})
	}
	if r.fromRepository() && !r.includes() {
		i, err := r.table.Integration(r.o.CodeRepository)
		if err != nil {
			return nil, nil, fmt.Errorf("code repository: %w", err)
		}
		python = union(python, i.Requirements)
	}
	return python, apt, nil
}

// union has every requirement once, sorted by bytes as Python sorts.
func union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}
