package resolve

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// readDockerPy reads a file as docker-py does: without regard to case, without
// escapes, and without looking into an ignored directory unless a later
// pattern begins with its path.
func (r *ignoreRules) readDockerPy(data string) {
	n := 0
	for line := range strings.SplitSeq(pyText([]byte(data)), "\n") {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		r.addDockerPy(line, n, "")
	}
	r.addDockerPy("!Dockerfile", 0, "the library that ZenML uses always sends it")
}

func (r *ignoreRules) addDockerPy(text string, line int, note string) {
	pattern, negate := strings.CutPrefix(text, "!")
	parts := pyParts(pattern)
	if len(parts) == 0 {
		return
	}
	clean := strings.Join(parts, "/")
	re := pyPattern(strings.ToLower(clean))
	r.rules = append(r.rules, rule{
		text: text, line: line, note: note, negate: negate,
		match: func(p string) bool {
			p = strings.ToLower(p)
			if re == nil {
				return false
			}
			if re.MatchString(p) {
				return true
			}
			above := strings.Split(path.Dir(p), "/")
			return path.Dir(p) != "." && len(parts) <= len(above) && re.MatchString(strings.Join(above[:len(parts)], "/"))
		},
		may: func(dir string) bool { return strings.HasPrefix(clean, dir) },
	})
}

// pyParts splits a pattern into names; "." goes, ".." takes the name before
// it away.
func pyParts(pattern string) []string {
	var parts []string
	for name := range strings.SplitSeq(strings.TrimSpace(pattern), "/") {
		switch name {
		case "", ".":
		case "..":
			parts = parts[:max(0, len(parts)-1)]
		default:
			parts = append(parts, name)
		}
	}
	return slices.Clip(parts)
}

// pyPattern is a pattern as a regular expression; nil matches nothing.
func pyPattern(p string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(p); {
		switch c := p[i]; {
		case strings.HasPrefix(p[i:], "**"):
			i += 2
			if i < len(p) && p[i] == '/' {
				i++
			}
			if i >= len(p) {
				b.WriteString(`.*`)
			} else {
				b.WriteString(`(.*/)?`)
			}
		case c == '*':
			b.WriteString(`[^/]*`)
			i++
		case c == '?':
			b.WriteString(`[^/]`)
			i++
		case c == '[':
			set, n := pySet(p[i:])
			b.WriteString(set)
			i += n
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
			i++
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil // a set such as [b-a], which matches nothing
	}
	return re
}

// pySet is a set of characters at the beginning of p, and how long it is
// there. A bracket that is never closed stands for itself.
func pySet(p string) (string, int) {
	j := 1
	if j < len(p) && p[j] == '!' {
		j++
	}
	if j < len(p) && p[j] == ']' {
		j++
	}
	for j < len(p) && p[j] != ']' {
		j++
	}
	if j >= len(p) {
		return `\[`, 1
	}
	set := strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(p[1:j])
	switch {
	case strings.HasPrefix(set, "!"):
		set = "^" + set[1:]
	case strings.HasPrefix(set, "^"):
		set = `\` + set
	}
	return "[" + set + "]", j + 1
}
