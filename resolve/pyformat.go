package resolve

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// errBrace says that a text is no format of Python's that has a directory.
var errBrace = errors.New("a brace that names nothing")

// pyFormat puts a directory into a command as Python's str.format does.
func pyFormat(s, directory string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "{{"), strings.HasPrefix(s[i:], "}}"):
			b.WriteByte(s[i])
			i++
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return "", errBrace
			}
			text, err := pyField(s[i+1:i+end], directory)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
			i += end
		case s[i] == '}':
			return "", errBrace
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// pySpec is how Python has a string padded and cut.
var pySpec = regexp.MustCompile(`^(?:(.)?([<>^]))?(0)?(\d*)(?:\.(\d+))?s?$`)

// pyField is a field of a format: "directory", "directory!r", "directory:>9.5".
func pyField(field, directory string) (string, error) {
	name, spec, _ := strings.Cut(field, ":")
	name, conversion, converted := strings.Cut(name, "!")
	text := directory
	switch {
	case name != "directory", converted && conversion != "r" && conversion != "s" && conversion != "a":
		return "", fmt.Errorf("%w: %q", errBrace, field)
	case conversion == "r" || conversion == "a":
		text = zenml.Quote(directory)
	}
	m := pySpec.FindStringSubmatch(spec)
	if m == nil {
		return "", fmt.Errorf("%w: %q", errBrace, field)
	}
	if m[5] != "" {
		n, err := strconv.Atoi(m[5])
		if err != nil {
			return "", fmt.Errorf("%w: %q", errBrace, field)
		}
		if runes := []rune(text); len(runes) > n {
			text = string(runes[:n])
		}
	}
	width, err := strconv.Atoi("0" + m[4])
	if err != nil || width > pathLimit {
		return "", fmt.Errorf("%w: %q", errBrace, field)
	}
	fill := m[1]
	if fill == "" {
		fill = " "
		if m[3] != "" {
			fill = "0"
		}
	}
	pad := max(0, width-utf8.RuneCountInString(text))
	before := map[string]int{">": pad, "^": pad / 2}[m[2]]
	return strings.Repeat(fill, before) + text + strings.Repeat(fill, pad-before), nil
}
