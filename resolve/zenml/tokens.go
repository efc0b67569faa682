package zenml

import (
	"strings"
	"unicode/utf8"
)

// A token of Python: a name or number, a string, or a sign.
type token struct {
	text   string
	string bool // text is what a string without placeholders holds
}

// A logicalLine is one of Python's, which may be several of the file.
type logicalLine struct {
	indent int
	tokens []token
}

// pythonLines splits a module into logical lines without comments. It reads
// what ZenML's modules of integrations are written in and is no parser of
// Python: what it does not know is a sign of its own.
func pythonLines(text string) []logicalLine {
	l := &pyLexer{rest: strings.ReplaceAll(text, "\r\n", "\n"), fresh: true}
	for l.rest != "" {
		l.next()
	}
	l.endLine()
	return l.lines
}

type pyLexer struct {
	rest  string
	line  logicalLine
	lines []logicalLine
	depth int  // of brackets
	fresh bool // nothing of the line is read yet
}

func (l *pyLexer) endLine() {
	if len(l.line.tokens) > 0 {
		l.lines = append(l.lines, l.line)
	}
	l.line, l.fresh = logicalLine{}, true
}

// take cuts n bytes off.
func (l *pyLexer) take(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	return s
}

func (l *pyLexer) next() {
	c := l.rest[0]
	if l.fresh && l.depth == 0 {
		blanks := len(l.rest) - len(strings.TrimLeft(l.rest, " \t"))
		l.take(blanks)
		l.line.indent, l.fresh = blanks, false
		return
	}
	switch {
	case c == '\n':
		l.take(1)
		if l.depth == 0 {
			l.endLine()
		}
	case c == '#':
		end := strings.IndexByte(l.rest, '\n')
		if end < 0 {
			end = len(l.rest)
		}
		l.take(end)
	case strings.HasPrefix(l.rest, "\\\n"):
		l.take(2)
	case c == ' ' || c == '\t' || c == '\f':
		l.take(1)
	default:
		l.token()
	}
}

func (l *pyLexer) token() {
	word := len(l.rest) - len(strings.TrimLeftFunc(l.rest, isWord))
	if word < len(l.rest) && word <= 2 && strings.ContainsRune(`"'`, rune(l.rest[word])) && strings.Trim(strings.ToLower(l.rest[:word]), "rbuf") == "" {
		l.stringToken(strings.ToLower(l.take(word)))
		return
	}
	if word > 0 {
		l.add(token{text: l.take(word)})
		return
	}
	_, size := utf8.DecodeRuneInString(l.rest)
	sign := l.take(size)
	switch sign {
	case "(", "[", "{":
		l.depth++
	case ")", "]", "}":
		l.depth = max(0, l.depth-1)
	}
	l.add(token{text: sign})
}

func (l *pyLexer) add(t token) { l.line.tokens = append(l.line.tokens, t) }

// stringToken reads a string whose prefix is read already.
func (l *pyLexer) stringToken(prefix string) {
	quote := l.rest[:1]
	if strings.HasPrefix(l.rest, strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	l.take(len(quote))
	var b strings.Builder
	for l.rest != "" && !strings.HasPrefix(l.rest, quote) {
		if l.rest[0] == '\\' && len(l.rest) > 1 && !strings.Contains(prefix, "r") {
			b.WriteString(unescaped(l.take(2)))
			continue
		}
		b.WriteString(l.take(1))
	}
	l.take(min(len(quote), len(l.rest)))
	if strings.ContainsAny(prefix, "fb") {
		l.add(token{text: "f-string"}) // not a literal string
		return
	}
	l.add(token{text: b.String(), string: true})
}

func unescaped(s string) string {
	switch s[1] {
	case '\n':
		return ""
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case '\\', '\'', '"':
		return s[1:]
	}
	return s
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127
}
