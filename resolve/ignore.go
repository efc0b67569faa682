package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// The readings of ignore files.
const (
	// MatcherDocker is Docker's own, which the documentation describes.
	MatcherDocker = "docker"
	// MatcherDockerPy is that of the Python library that ZenML uses.
	MatcherDockerPy = "docker-py"
)

// ignoreName is the ignore file that is used if none is named.
const ignoreName = ".dockerignore"

// A rule is a pattern of an ignore file.
type rule struct {
	text   string // as it stands there
	line   int    // 0 for rules of ours
	note   string // why there is a rule of ours
	negate bool
	match  func(p string) bool
	may    func(dir string) bool // of a negated rule: something below dir could match
}

// ignoreRules are the rules of a file, the last that fits decides.
type ignoreRules struct {
	file  string // as it is named in messages; empty if there is none
	rules []rule
}

// readIgnore reads the ignore file of a project. An explicit one must be there.
func readIgnore(o FileOptions) (ignoreRules, error) {
	file := o.Ignore
	if file == "" {
		file = filepath.Join(o.Root, ignoreName)
	}
	if o.NoIgnore {
		return ignoreRules{}, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && o.Ignore == "" {
		return ignoreRules{}, nil
	}
	if err != nil {
		return ignoreRules{}, fmt.Errorf("ignore file: %w", err)
	}
	r := ignoreRules{file: cmp.Or(o.Ignore, ignoreName)}
	switch o.Matcher {
	case "", MatcherDocker:
		err = r.readDocker(string(data))
	case MatcherDockerPy:
		r.readDockerPy(string(data))
	default:
		err = fmt.Errorf("unknown reading of ignore files %q: want %s or %s", o.Matcher, MatcherDocker, MatcherDockerPy)
	}
	if err != nil {
		return ignoreRules{}, err
	}
	if !o.DropZen {
		r.keep(repositoryDir, "ZenML's repository always goes in")
	}
	if !o.DropIgnore {
		r.keep(ignoreName, "this version of ZenML copies it")
	}
	return r, nil
}

// keep adds a rule of ours that keeps a path and what is below it.
func (r *ignoreRules) keep(p, why string) {
	r.rules = append(r.rules, rule{
		text: "!/" + p, note: why, negate: true,
		match: func(q string) bool { return q == p },
		may: func(dir string) bool {
			return dir == p || strings.HasPrefix(p, dir+"/") || strings.HasPrefix(dir, p+"/")
		},
	})
}

// readDocker reads a file as Docker does.
func (r *ignoreRules) readDocker(data string) error {
	n := 0
	for line := range strings.Lines(data) {
		n++
		patterns, err := ignorefile.ReadAll(strings.NewReader(line))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", r.file, n, err)
		}
		for _, p := range patterns {
			text, negate := strings.CutPrefix(p, "!")
			if text == "" {
				return fmt.Errorf("%s:%d: a pattern is missing after the exclamation mark", r.file, n)
			}
			m, err := patternmatcher.New([]string{text})
			if err == nil {
				_, err = m.MatchesOrParentMatches("x") // compiles it
			}
			if err != nil {
				return fmt.Errorf("%s:%d: pattern %q: %w", r.file, n, p, err)
			}
			r.rules = append(r.rules, rule{
				text: strings.TrimSpace(line), line: n, negate: negate,
				match: func(q string) bool {
					ok, err := m.MatchesOrParentMatches(filepath.FromSlash(q))
					return ok && err == nil
				},
				may: func(dir string) bool { return mayMatchBelow(text, dir) },
			})
		}
	}
	return nil
}

// mayMatchBelow says whether a pattern could match something in a directory.
// It errs on the side of yes.
func mayMatchBelow(pattern, dir string) bool {
	parts := strings.Split(strings.Trim(path.Clean(filepath.ToSlash(pattern)), "/"), "/")
	for i, name := range strings.Split(dir, "/") {
		if i >= len(parts) || strings.Contains(parts[i], "**") {
			return true
		}
		if ok, err := path.Match(parts[i], name); err == nil && !ok {
			return false
		}
	}
	return true
}

// decide returns the rule that decides about a path, if one does, and whether
// the path stays out.
func (r ignoreRules) decide(p string) (last *rule, out bool) {
	for i := range r.rules {
		x := &r.rules[i]
		if r.fits(x, p) {
			last, out = x, !x.negate
		}
	}
	return last, out
}

// fits says whether a rule is about a path or a directory that it is in.
func (r ignoreRules) fits(x *rule, p string) bool {
	if x.match(p) {
		return true
	}
	if x.line > 0 {
		return false // the readings look at parents themselves
	}
	for at := path.Dir(p); at != "."; at = path.Dir(at) {
		if x.match(at) {
			return true
		}
	}
	return false
}

// enter says whether a directory that stays out must be looked into all the
// same, since a rule may keep something in it.
func (r ignoreRules) enter(dir string) bool {
	for i := range r.rules {
		if r.rules[i].negate && r.rules[i].may(dir) {
			return true
		}
	}
	return false
}
