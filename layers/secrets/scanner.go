package secrets

import (
	"bytes"
	"strings"
)

// The sizes of what a scanner holds, in bytes.
const (
	window = 128 << 10 // that is searched at once
	reach  = 2 << 10   // that a rule looks at after an anchor
	behind = 64        // and before it
	lines  = 256 << 10 // of a file that a named rule is about
)

// The numbers of findings that are told of a file and of a scan. Where there are
// more, it does not matter how many.
const (
	perFile = 5
	perScan = 200
)

// A Scanner looks for secrets in files, one after the other. The zero value is
// not ready; see [NewScanner].
type Scanner struct {
	rules compiled
	found []Finding

	path   string
	table  *table
	named  *named
	text   []byte // of a file with a named rule, up to a limit
	data   []byte // the window
	at     int    // where in it the search goes on
	before int    // lines before it
	size   int64
	binary bool
	count  int // of findings in the file
}

// NewScanner returns a scanner that has read nothing.
func NewScanner() *Scanner { return &Scanner{rules: ready()} }

// File begins with a file; the one before it has ended. The path has slashes
// and none before it.
func (s *Scanner) File(path string) {
	s.end()
	s.path, s.table, s.named = path, s.rules.installed, nil
	if !installed(path) {
		s.table, s.named = s.rules.all, namedRule(path)
	}
	s.text, s.data, s.at, s.before, s.size, s.binary, s.count = s.text[:0], s.data[:0], 0, 0, 0, false, 0
}

// Write takes the next piece of the file's content. It never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	if s.size == 0 {
		s.binary = bytes.IndexByte(p[:min(len(p), 4<<10)], 0) >= 0
	}
	s.size += int64(len(p))
	if s.named != nil && len(s.text) < lines {
		s.text = append(s.text, p[:min(len(p), lines-len(s.text))]...)
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), window-len(s.data))
		s.data = append(s.data, rest[:n]...)
		rest = rest[n:]
		if len(s.data) == window {
			s.search(window - reach)
		}
	}
	return len(p), nil
}

// Found ends the scan and returns what was found, in the order of the files.
func (s *Scanner) Found() []Finding {
	s.end()
	return s.found
}

// end ends the file.
func (s *Scanner) end() {
	if s.path == "" {
		return
	}
	s.search(len(s.data))
	if s.named != nil {
		s.namedLines()
	}
	s.path = ""
}

// search looks for secrets that begin before an offset of the window, and drops
// what is not needed any more.
func (s *Scanner) search(to int) {
	s.table.search(s.data, s.at, to, func(at int, r *rule) {
		if r.matches(s.data, at) {
			line := 0
			if !s.binary {
				line = 1 + s.before + bytes.Count(s.data[:at], []byte("\n"))
			}
			s.add(line, r.what)
		}
	})
	drop := max(0, to-behind)
	if drop == 0 || to == len(s.data) {
		return
	}
	if !s.binary {
		s.before += bytes.Count(s.data[:drop], []byte("\n"))
	}
	s.data = s.data[:copy(s.data, s.data[drop:])]
	s.at = to - drop
}

// add notes a finding, once for a line, or for a kind where there are no lines.
func (s *Scanner) add(line int, what string) {
	if s.count >= perFile || len(s.found) >= perScan {
		return
	}
	f := Finding{Path: s.path, Line: line, What: what}
	for _, was := range s.found[len(s.found)-s.count:] {
		if was == f || line > 0 && was.Line == line {
			return
		}
	}
	s.found = append(s.found, f)
	s.count++
}

// matches says whether a rule's secret stands where its anchor was found.
func (r *rule) matches(data []byte, at int) bool {
	from := at - r.back
	if from < 0 || r.word && from > 0 && isWord(data[from-1]) {
		return false
	}
	text := data[from:min(len(data), at+reach)]
	m := r.compiled.FindSubmatchIndex(text)
	if m == nil {
		return false
	}
	group := func(n int) []byte {
		if 2*n+1 >= len(m) || m[2*n] < 0 {
			return nil
		}
		return text[m[2*n]:m[2*n+1]]
	}
	secret := group(max(r.of, 1))
	if secret == nil {
		return true
	}
	return !placeholder(secret) && different(secret) >= r.distinct && (r.check == nil || r.check(string(secret), string(group(1))))
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// namedLines applies the rule that the file's name asks for.
func (s *Scanner) namedLines() {
	if s.named.line == "" {
		if s.size > 0 {
			s.add(0, s.named.what)
		}
		return
	}
	n := 0
	for line := range strings.Lines(string(s.text)) {
		n++
		m := s.named.compiledLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		if !s.named.plain && len(m) > 1 && placeholder([]byte(m[1])) {
			continue
		}
		s.add(n, s.named.what)
	}
}
