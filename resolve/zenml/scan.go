package zenml

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Module is a source file of ZenML's package.
type Module struct {
	// Path is relative to the package: "integrations/aws/__init__.py".
	Path string
	Text string
}

// IsModule says whether a file of ZenML's package, by its path below it, is one
// that [ScanCatalogue] reads.
func IsModule(p string) bool {
	parts := strings.Split(p, "/")
	return p == "VERSION" || p == "integrations/constants.py" || len(parts) == 3 && parts[0] == "integrations" && parts[2] == "__init__.py"
}

// ScanCatalogue reads what integrations need from ZenML's own modules, of which
// it runs nothing: lists of literal strings, and the few ways in which ZenML
// puts lists together. An integration that is written in another way is left
// out, and its name returned.
func ScanCatalogue(modules []Module) (c Catalogue, unread []string, err error) {
	s := scanner{constants: map[string]string{}, classes: map[string]*pyClass{}}
	for _, m := range modules {
		switch m.Path {
		case "VERSION":
			c.Version = strings.TrimSpace(m.Text)
		case "integrations/constants.py":
			s.readConstants(m.Text)
		}
	}
	for _, m := range modules {
		if path.Base(m.Path) == "__init__.py" {
			s.readClasses(m.Text)
		}
	}
	if c.flavors, err = knownFlavors(); err != nil {
		return c, nil, err
	}
	c.integrations = map[string]Integration{}
	for _, class := range s.classes {
		if class.name == "" {
			continue
		}
		python, err := s.requirements(class, 0)
		if err != nil {
			unread = append(unread, class.name)
			continue
		}
		c.integrations[class.name] = Integration{Requirements: python, Apt: class.apt}
	}
	slices.Sort(unread)
	if len(c.integrations) == 0 {
		return c, unread, fmt.Errorf("there are no integrations of ZenML's in it")
	}
	return c, unread, nil
}

// A pyClass is the class of an integration.
type pyClass struct {
	name         string
	requirements []string
	apt          []string
	body         []logicalLine // of get_requirements
	broken       error
}

type scanner struct {
	constants map[string]string
	classes   map[string]*pyClass
}

func (s *scanner) readConstants(text string) {
	for _, l := range pythonLines(text) {
		if t := l.tokens; len(t) == 3 && t[1].text == "=" && t[2].string {
			s.constants[t[0].text] = t[2].text
		}
	}
}

// readClasses reads the classes of a module.
func (s *scanner) readClasses(text string) {
	lines := pythonLines(text)
	for i, l := range lines {
		if len(l.tokens) < 3 || l.tokens[0].text != "class" {
			continue
		}
		class := &pyClass{}
		s.classes[l.tokens[1].text] = class
		s.readClass(class, block(lines[i+1:], l.indent))
	}
}

// block are the lines that are further in than a line before them.
func block(lines []logicalLine, indent int) []logicalLine {
	end := slices.IndexFunc(lines, func(l logicalLine) bool { return l.indent <= indent })
	if end < 0 {
		return lines
	}
	return lines[:end]
}

func (s *scanner) readClass(class *pyClass, body []logicalLine) {
	if len(body) == 0 {
		return
	}
	own := body[0].indent
	for i, l := range body {
		if l.indent != own {
			continue
		}
		if len(l.tokens) > 1 && l.tokens[0].text == "def" && l.tokens[1].text == "get_requirements" {
			class.body = block(body[i+1:], own)
			continue
		}
		name, value, ok := assignment(l.tokens)
		if !ok {
			continue
		}
		switch name {
		case "NAME":
			class.name = s.constants[value[0].text]
			if value[0].string {
				class.name = value[0].text
			}
		case "REQUIREMENTS":
			class.requirements, class.broken = s.list(value, nil, nil, 0)
		case "APT_PACKAGES":
			class.apt, class.broken = s.list(value, nil, nil, 0)
		}
	}
}

// assignment splits "name = value" and "name: type = value".
func assignment(t []token) (name string, value []token, ok bool) {
	at := slices.IndexFunc(t, func(x token) bool { return !x.string && x.text == "=" })
	if at < 1 || at+1 >= len(t) || at > 1 && t[1].text != ":" || t[0].string {
		return "", nil, false
	}
	return t[0].text, t[at+1:], true
}

// deepest is how many integrations may need each other in a row.
const deepest = 8

// requirements are those of a class on Linux.
func (s *scanner) requirements(class *pyClass, depth int) ([]string, error) {
	if class.broken != nil || class.body == nil {
		return class.requirements, class.broken
	}
	if depth > deepest {
		return nil, fmt.Errorf("integrations need each other")
	}
	f := &pyFunction{scanner: s, class: class, lists: map[string][]string{}, depth: depth}
	if err := f.run(class.body); err != nil {
		return nil, err
	}
	if !f.returned {
		return nil, fmt.Errorf("it returns nothing")
	}
	return f.result, nil
}
