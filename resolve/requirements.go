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

// requirements are the files in the order in which the version of ZenML
// installs them, and the Debian packages that go with them.
func (r *resolution) requirements(ctx context.Context) (files []requirementFile, apt []string, err error) {
	local, err := r.replicated(ctx)
	if err != nil {
		return nil, nil, err
	}
	user, err := r.userRequirements()
	if err != nil {
		return nil, nil, err
	}
	integrations, integrationApt, err := r.integrations()
	if err != nil {
		return nil, nil, err
	}
	stack, stackApt := r.stackRequirements()
	apt = slices.Concat(r.docker.Apt, r.o.Apt, stackApt, integrationApt)
	files = append(files, requirementFile{".zenml_local_requirements", local})
	if r.facts.UserLast {
		files = append(files,
			requirementFile{".zenml_stack_integration_requirements", strings.Join(stack, "\n")},
			requirementFile{".zenml_integration_requirements", strings.Join(integrations, "\n")},
			requirementFile{".zenml_user_requirements", user})
	} else {
		files = append(files,
			requirementFile{".zenml_user_requirements", user},
			requirementFile{".zenml_integration_requirements", strings.Join(union(stack, integrations), "\n")})
	}
	return slices.DeleteFunc(files, func(f requirementFile) bool { return strings.TrimSpace(f.content) == "" }), apt, nil
}

// replicated are the requirements of the project's own environment.
func (r *resolution) replicated(ctx context.Context) (string, error) {
	line := r.docker.Replicate
	if line == "" {
		return "", nil
	}
	argv := shell(line)
	if r.docker.ReplicateDefault && r.venv.dir != "" {
		argv = []string{filepath.Join(r.venv.dir, "bin", "python"), "-m", "pip", "freeze"}
	}
	out, err := r.host.Command(ctx, r.o.Dir, argv)
	if err != nil {
		e := r.docker.Errorf("replicate_local_python_environment", "run the command yourself in that directory to see why",
			"%s: %v", strings.Join(argv, " "), err)
		return "", e
	}
	return string(out), nil
}

// userRequirements are those of the settings and of the command line.
func (r *resolution) userRequirements() (string, error) {
	text := strings.Join(r.docker.Requirements, "\n")
	if file := r.docker.RequirementsFile; file != "" {
		data, err := os.ReadFile(from(r.o.Dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			return "", r.docker.Errorf("requirements",
				"a string is the path of a file, relative to the directory that kanso is started in; requirements themselves are a list: ["+file+"]",
				"requirements file %s does not exist", file)
		}
		if err != nil {
			return "", fmt.Errorf("requirements file: %w", err)
		}
		text = string(data)
	}
	if len(r.o.Requirements) > 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += strings.Join(r.o.Requirements, "\n")
	}
	return text, nil
}

// integrations are what the named integrations need.
func (r *resolution) integrations() (python, apt []string, err error) {
	r.warnOfCatalogue(len(r.docker.Integrations)+len(r.o.Integrations) > 0)
	for _, name := range r.docker.Integrations {
		i, err := r.table.Integration(name)
		var e *zenml.Error
		if errors.As(err, &e) {
			at := r.docker.Line("required_integrations")
			e.File, e.Line = at.File, at.Line
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

// warnOfCatalogue says if the data is of another version.
func (r *resolution) warnOfCatalogue(used bool) {
	if (used || r.docker.StackPackages && len(r.stack.Components) > 0) && r.table.Version != r.ZenML {
		r.warnf("what integrations need in ZenML %s is not known: taking that of %s", r.ZenML, r.table.Version)
	}
}

// stackRequirements are what the stack's components need.
func (r *resolution) stackRequirements() (python, apt []string) {
	if !r.docker.StackPackages {
		return nil, nil
	}
	python, apt = r.stack.Requirements(r.table)
	if r.facts.LocalExtra && r.stack.RunsHere() && !r.client.IsServer() {
		python = union(python, []string{"zenml[local]==" + r.ZenML})
	}
	return python, apt
}

// union has every requirement once, sorted by bytes as Python sorts.
func union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}
