package dockerfile

import (
	"errors"
	"fmt"
	"strings"

	known "github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"
)

// An Error is what is wrong at a line of a Dockerfile.
type Error struct {
	File string
	// Line counts from one.
	Line int
	// Text is the line as it stands in the file.
	Text string
	Err  error
}

// Error names file and line, says what is wrong, and quotes the line.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	if e.Text != "" {
		s += fmt.Sprintf(", in %q", e.Text)
	}
	return s
}

// Unwrap is the error without its place.
func (e *Error) Unwrap() error { return e.Err }

// A source is the text of a Dockerfile, for positions.
type source struct {
	file  string
	lines []string
}

// longest is how much of a line is quoted.
const longest = 160

func (s source) text(line int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	t := strings.ToValidUTF8(strings.TrimSpace(strings.TrimPrefix(s.lines[line-1], "\ufeff")), "\ufffd")
	if r := []rune(t); len(r) > longest {
		t = string(r[:longest]) + "..."
	}
	return t
}

// locate makes an [Error] of an error that BuildKit's parser or we put a place
// on, and adds the file's name to others.
func (s source) locate(err error) error {
	var placed *Error
	if errors.As(err, &placed) {
		return err
	}
	var at *parser.LocationError
	if !errors.As(err, &at) || len(at.Locations) == 0 {
		return fmt.Errorf("%s: %w", s.file, err)
	}
	line := first(at.Locations[0])
	inner := at.Unwrap()
	if early(inner) {
		line++ // the parser counts the line only when it has been read
	}
	line = max(1, min(line, len(s.lines)))
	return &Error{File: s.file, Line: line, Text: s.text(line), Err: plain(inner)}
}

// early says whether the parser puts an error on the line before.
func early(err error) bool {
	for _, s := range []string{"parser directive can be used", "invalid escape token", "greater than max allowed size"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

// plain adds what was expected where BuildKit does not say.
func plain(err error) error {
	text := err.Error()
	unknown := (*instructions.UnknownInstructionError)(nil)
	switch {
	case text == "no build stage in current context":
		return errors.New("instruction before the first FROM, where only ARG may stand")
	case strings.HasPrefix(text, "missing a value on flag: "):
		return fmt.Errorf("%w, write %s=VALUE", err, strings.TrimPrefix(text, "missing a value on flag: "))
	case strings.HasPrefix(text, "unknown instruction") && errors.As(err, &unknown):
		return expected(unknown)
	}
	return err
}

// expected adds the instruction that was probably meant, or else all. (What
// BuildKit adds may be another of equally near ones each time.)
func expected(unknown *instructions.UnknownInstructionError) error {
	names := strings.Fields(strings.ToUpper(strings.Join(sorted(known.Commands), " ")))
	if found, ok := suggest.Search(unknown.Instruction, names, false); ok {
		return fmt.Errorf("%w (did you mean %s?)", unknown, strings.ToUpper(found))
	}
	return fmt.Errorf("%w, expected one of %s", unknown, strings.Join(names, " "))
}

// first is the line where a location begins; zero if it is nowhere.
func first(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

// place puts a location on an error that has none.
func place(err error, at []parser.Range) error {
	var has *parser.LocationError
	if err == nil || len(at) == 0 || errors.As(err, &has) {
		return err
	}
	return parser.WithLocation(err, at)
}
