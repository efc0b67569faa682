package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ignorePatterns are the rules of an ignore file as Docker's builder reads
// them. Directories hand what they know on to what is in them, so that a rule
// about a directory need not be asked again; the zero value ignores nothing.
type ignorePatterns struct {
	file    string // as it is named in messages
	data    []byte
	matcher *patternmatcher.PatternMatcher
	texts   []string // with their exclamation marks
	lines   []int
	// plain says that no exception has a wildcard, so that its first part tells
	// whether it can be about something in a directory.
	plain bool
}

// readPatterns reads an ignore file.
func readPatterns(file string, data []byte) (ignorePatterns, error) {
	p := ignorePatterns{file: file, data: data, plain: true}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		patterns, err := ignorefile.ReadAll(strings.NewReader(line))
		if err != nil {
			return p, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		for _, text := range patterns {
			m, err := patternmatcher.New([]string{text})
			if err == nil {
				_, err = m.MatchesOrParentMatches("x") // compiles it
			}
			if err != nil {
				return p, fmt.Errorf("%s:%d: pattern %q: %w", file, n, text, err)
			}
			p.texts, p.lines = append(p.texts, text), append(p.lines, n)
			if strings.HasPrefix(text, "!") && strings.ContainsAny(strings.TrimSuffix(text, "/**"), `*[]?^\`) {
				p.plain = false
			}
		}
	}
	var err error
	if len(p.texts) > 0 {
		if p.matcher, err = patternmatcher.New(p.texts); err != nil {
			return p, fmt.Errorf("%s: %w", file, err)
		}
	}
	return p, nil
}

// match says whether a path is ignored, given what is known of the directory
// that it is in.
func (p ignorePatterns) match(name string, parent patternmatcher.MatchInfo) (bool, patternmatcher.MatchInfo) {
	if p.matcher == nil {
		return false, parent
	}
	ignored, info, err := p.matcher.MatchesUsingParentResults(filepath.FromSlash(name), parent)
	return ignored && err == nil, info // every pattern was compiled when it was read
}

// enter says whether something in an ignored directory can be an exception.
func (p ignorePatterns) enter(dir string) bool {
	if p.matcher == nil || !p.matcher.Exclusions() {
		return false
	}
	return !p.plain || slices.ContainsFunc(p.matcher.Patterns(), func(x *patternmatcher.Pattern) bool {
		text := strings.TrimSuffix(filepath.ToSlash(x.String()), "/**")
		return x.Exclusion() && strings.HasPrefix(text+"/", dir+"/")
	})
}

// why is the rule that drops a path, "FILE:LINE (PATTERN)"; empty if none does.
func (p ignorePatterns) why(name string) string {
	for i := range slices.Backward(p.texts) {
		text, exception := strings.CutPrefix(p.texts[i], "!")
		if exception {
			continue
		}
		m, err := patternmatcher.New([]string{text})
		if err != nil {
			continue
		}
		if ok, err := m.MatchesOrParentMatches(filepath.FromSlash(name)); ok && err == nil {
			return fmt.Sprintf("%s:%d (%s)", p.file, p.lines[i], text)
		}
	}
	return ""
}

// readIgnoreFile finds the ignore file of a build context: the one that is
// named, which must be there, else DOCKERFILE.dockerignore beside the
// Dockerfile, else .dockerignore in the context. Without any nothing is ignored.
// One that is not named and is a link out of its directory is an error.
func readIgnoreFile(named, dockerfile, context string) (ignorePatterns, error) {
	if named != "" {
		data, err := os.ReadFile(named)
		if err != nil {
			return ignorePatterns{}, fmt.Errorf("ignore file: %w", err)
		}
		return readPatterns(named, data)
	}
	var files []string
	if dockerfile != "" {
		files = append(files, dockerfile+ignoreName)
	}
	if context != "" {
		files = append(files, filepath.Join(context, ignoreName))
	}
	for _, file := range files {
		data, err := readInside(filepath.Dir(file), filepath.Base(file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return ignorePatterns{}, fmt.Errorf("ignore file: %w", err)
		}
		return readPatterns(filepath.Base(file), data)
	}
	return ignorePatterns{}, nil
}

// readInside reads a file of a directory; links are followed only inside it.
func readInside(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(name)
}
