package resolve

import (
	"regexp"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// requireHashes is the option of pip and uv that refuses what has no hash.
const requireHashes = "require-hashes"

// A requirement is a line of a file of requirements with those that continue it.
type requirement struct {
	line int // the first, from 1
	text string
}

// commentLine and comment are pip's.
var (
	commentLine = regexp.MustCompile(`^\s*#`)
	comment     = regexp.MustCompile(`(^|\s+)#.*$`)
)

// requirementsIn are the requirements and the options of a file, as pip reads it:
// a backslash at the end continues a line, "#" after a blank begins a comment.
func requirementsIn(content string) []requirement {
	var list []requirement
	var text string
	first := 0
	end := func() {
		if t := strings.TrimSpace(comment.ReplaceAllString(text, "")); t != "" {
			list = append(list, requirement{first, t})
		}
		text, first = "", 0
	}
	n := 0
	for line := range strings.Lines(content) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if first == 0 {
			first = n
		}
		remark := commentLine.MatchString(line)
		if remark {
			line = " " + line // so that it is one after what it follows, too
		}
		if more, ok := strings.CutSuffix(line, `\`); ok && !remark {
			text += more
			continue
		}
		text += line
		end()
	}
	end()
	return list
}

// The shapes of requirements that a hash can be known of.
var (
	hashOption = regexp.MustCompile(`\s--hash[= ](sha256:[0-9a-fA-F]{64}|sha384:[0-9a-fA-F]{96}|sha512:[0-9a-fA-F]{128})(\s|$)`)
	hashInURL  = regexp.MustCompile(`(#|&)(sha256=[0-9a-fA-F]{64}|sha384=[0-9a-fA-F]{96}|sha512=[0-9a-fA-F]{128})`)
	pinnedTo   = regexp.MustCompile(`^[A-Za-z0-9._-]+\s*(\[[^\]]*\])?\s*\(?\s*===?\s*[^\s,;*<>=!~]+\s*\)?\s*(;|\s|$)`)
	nameOf     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?`)
)

// unhashed says why pip and uv would not install a line of requirements that
// require hashes; empty if they would.
func unhashed(text string) string {
	word, _, _ := strings.Cut(strings.ReplaceAll(text, "=", " "), " ")
	if strings.HasPrefix(text, "-") {
		switch word {
		case "-e", "--editable":
			return "an editable requirement has no hash"
		case "-r", "--requirement", "-c", "--constraint":
			return "it names another file, which is not in the image"
		}
		return ""
	}
	name := nameOf.FindString(text)
	url := strings.Contains(text, "://")
	if name == "" || url && !strings.Contains(text, " @ ") {
		name = "what comes from a URL or a path"
	}
	switch {
	case url && hashInURL.MatchString(text):
		return ""
	case !hashOption.MatchString(text):
		return name + " has no hash"
	case !url && !pinnedTo.MatchString(text):
		return name + " is not pinned to one version with =="
	}
	return ""
}

// checkHashes refuses what cannot be installed with hashes, before anything is
// run: it names the first requirement without one, and where it stands.
func (r *recipe) checkHashes() error {
	const lock = "uv pip compile --generate-hashes, or pip-compile --generate-hashes, writes a file of requirements with the hashes of all that they need"
	if !r.facts.RequirementFiles && len(r.requirements) > 0 {
		return &zenml.Error{Msg: "ZenML " + r.ZenML + " installs requirements without a file, and hashes cannot stand elsewhere"}
	}
	for _, f := range r.requirements {
		for _, q := range requirementsIn(f.content) {
			if why := unhashed(q.text); why != "" {
				return r.unhashedError(f, q.line, why, lock)
			}
		}
	}
	if c := r.docker.ProjectCommand; c != "" && !strings.Contains(c, "--no-deps") {
		return r.docker.Errorf("local_project_install_command", "--no-deps keeps it from that; what it needs belongs in a file of requirements with hashes",
			"it installs what nobody knows the hash of")
	}
	return nil
}

// unhashedError says where a requirement without a hash comes from.
func (r *recipe) unhashedError(f requirementFile, line int, why, lock string) error {
	d := r.docker
	switch f.name {
	case ".zenml_user_requirements":
		return r.unhashedByUser(line, why, lock)
	case ".zenml_local_requirements":
		return d.Errorf("replicate_local_python_environment", lock, "line %d: %s", line, why)
	case ".zenml_pyproject_requirements":
		return d.Errorf("pyproject_path", "pyproject_export_command names a command that prints hashes, too", "line %d of what is exported: %s", line, why)
	case ".zenml_integration_requirements":
		if len(d.Integrations) > 0 {
			return d.Errorf("required_integrations", "leave it out. "+lock, "%s", why)
		}
		return &zenml.Error{Msg: "--integration: " + why, Advice: "leave it out. " + lock}
	}
	return d.Errorf("install_stack_requirements", "install_stack_requirements: false leaves them to you. "+lock, "what the stack needs: %s", why)
}

// unhashedByUser says where the user's own requirement stands: in the settings'
// file or list, or on the command line.
func (r *recipe) unhashedByUser(line int, why, lock string) error {
	s := r.requirementSource()
	if own := strings.Count(strings.TrimSuffix(r.userText, "\n"), "\n") + 1; r.userText == "" || line > own {
		if r.userText != "" {
			line -= own
		}
		place := "--requirement"
		if places := r.o.RequirementPlaces; line <= len(places) && places[line-1] != "" {
			place = places[line-1]
		}
		return &zenml.Error{Msg: place + ": " + why, Advice: lock}
	}
	if s.file != "" {
		return &zenml.Error{File: s.file, Line: line, Msg: why, Advice: lock}
	}
	return r.docker.Errorf("requirements", lock, "%s", why)
}

// withHashes makes the installer require hashes.
func (r *recipe) withHashes() {
	if !slices.ContainsFunc(r.docker.InstallerArgs, func(a zenml.Arg) bool { return a.Name == requireHashes }) {
		r.docker.InstallerArgs = append(slices.Clone(r.docker.InstallerArgs), zenml.Arg{Name: requireHashes})
	}
}

// exportWithHashes is the command of [exportCommands] without what leaves hashes
// out.
func exportWithHashes(command string) string {
	for _, option := range []string{" --no-hashes", " --without-hashes"} {
		command = strings.ReplaceAll(command, option, "")
	}
	return command
}
