package secrets

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// anchorLen is the length of the shortest anchor, in bytes.
const anchorLen = 4

// A table has the rules that are applied to a kind of file, and finds where one
// may apply: it looks at every third byte where nothing is near that could begin
// an anchor (Wu and Manber, "A fast algorithm for multi-pattern searching").
type table struct {
	shift  [1 << shiftBits]uint8 // by the hash of two bytes: how far the end of an anchor's beginning is at least
	starts [1 << shiftBits][]start
}

const shiftBits = 14

// start is an anchor, which ends the search at the bytes that end its first
// anchorLen bytes.
type start struct {
	anchor string
	rule   *rule
}

func hashed(a, b byte) uint16 { return (uint16(a)<<7 ^ uint16(b)) & (1<<shiftBits - 1) }

func newTable(rules []*rule) *table {
	t := &table{}
	for i := range t.shift {
		t.shift[i] = most
	}
	for _, r := range rules {
		for _, a := range r.anchors {
			for j := 1; j < anchorLen; j++ {
				h := hashed(a[j-1], a[j])
				t.shift[h] = min(t.shift[h], uint8(anchorLen-1-j))
			}
			h := hashed(a[anchorLen-2], a[anchorLen-1])
			t.starts[h] = append(t.starts[h], start{a, r})
		}
	}
	return t
}

// most is the longest step of a search: the bits of all steps are in it.
const most = anchorLen - 1

// search calls visit for every anchor in data that begins at from or after it,
// and before to.
func (t *table) search(data []byte, from, to int, visit func(at int, r *rule)) {
	end := min(len(data), to+anchorLen-1)
	for i := from + anchorLen - 1; i < end; {
		// Four steps at once, which do not wait for each other.
		if i+3*most < end {
			d := data[i-1 : i+3*most+1]
			if t.shift[hashed(d[0], d[1])]&t.shift[hashed(d[most], d[most+1])]&
				t.shift[hashed(d[2*most], d[2*most+1])]&t.shift[hashed(d[3*most], d[3*most+1])] == most {
				i += 4 * most
				continue
			}
		}
		h := hashed(data[i-1], data[i])
		if s := t.shift[h]; s > 0 {
			i += int(s)
			continue
		}
		t.visit(data, i-anchorLen+1, h, visit)
		i++
	}
}

// visit calls a function for every anchor that stands at an offset, whose bytes
// hash to h.
func (t *table) visit(data []byte, at int, h uint16, visit func(at int, r *rule)) {
	for _, s := range t.starts[h] {
		if len(data)-at >= len(s.anchor) && string(data[at:at+len(s.anchor)]) == s.anchor {
			visit(at, s.rule)
		}
	}
}

// compiled is everything that the tables of rules become.
type compiled struct {
	all, installed *table
	named          []*named
}

// ready compiles the rules once.
var ready = sync.OnceValue(func() compiled { //nolint:gochecknoglobals // rules that never change, not state
	var c compiled
	var all, installed []*rule
	for _, r := range rules() {
		r.compiled = regexp.MustCompile("^(?:" + r.match + ")")
		all = append(all, r)
		if r.installed {
			installed = append(installed, r)
		}
	}
	c.all, c.installed = newTable(all), newTable(installed)
	for _, n := range namedRules() {
		n.compiledPath = regexp.MustCompile("(^|/)(" + n.path + ")$")
		n.compiledLine = regexp.MustCompile(n.line)
		c.named = append(c.named, n)
	}
	return c
})

// namedRule is the rule for files of such a name, nil for most.
func namedRule(p string) *named {
	if example(p) {
		return nil
	}
	lower := strings.ToLower(p) // expressions are slow, and nearly every file is another one
	for _, n := range ready().named {
		if slices.ContainsFunc(n.has, func(s string) bool { return strings.Contains(lower, s) }) && n.compiledPath.MatchString(p) {
			return n
		}
	}
	return nil
}

// placeholder says whether a text stands where a secret would.
func placeholder(s []byte) bool {
	return placeholders.Match(s) || different(s) < 2
}

var placeholders = regexp.MustCompile(`(?i)[<>{}$*]|%[sd(]|EXAMPLE|\.\.\.|x{4,}|^(my|your|the|a|some|test|dummy|fake)?[_-]?(password|passwd|pass|pwd|passw0rd|secret|secrets|token|changeme|change-me|redacted|placeholder|none|null|todo|pw)[0-9]{0,3}$|^your[_-]`)

// different counts the different bytes of a text.
func different(s []byte) int {
	var seen [math.MaxUint8 + 1]bool
	n := 0
	for _, c := range s {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}
