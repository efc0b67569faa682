package secrets

import (
	"encoding/binary"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// anchorLen is the length of the shortest anchor, in bytes.
const anchorLen = 4

// A table has the rules that are applied to a kind of file, and finds where one
// may apply: it looks at three bytes at every second place, which the first
// anchorLen bytes of an anchor have in them wherever it begins.
type table struct {
	list   [1 << hashBits]uint8 // by the hash of three bytes: which of starts have them; 0 for none
	starts [1 + lists][]start   // those of several hashes in one, if need be
}

const (
	hashBits = 16
	lists    = math.MaxUint8
)

// start is an anchor that may begin where its three bytes are, or the byte before.
type start struct {
	head   uint32 // the first anchorLen bytes
	anchor string
	before int
	rule   *rule
}

// hashed is the hash of the low three bytes of a word.
func hashed(w uint64) uint32 { return uint32(w<<8) * 0x9e3779b1 >> (32 - hashBits) } //nolint:gosec // the low bits are meant

func newTable(rules []*rule) *table {
	t, n := &table{}, 0
	for before := anchorLen - 3; before >= 0; before-- { // what begins first is found first
		for _, r := range rules {
			for _, a := range r.anchors {
				h := hashed(threeOf(a[before:]))
				if t.list[h] == 0 {
					t.list[h] = uint8(1 + n%lists)
					n++
				}
				t.starts[t.list[h]] = append(t.starts[t.list[h]], start{binary.LittleEndian.Uint32([]byte(a)), a, before, r})
			}
		}
	}
	return t
}

func threeOf[T string | []byte](s T) uint64 { return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 }

// stride is how many bytes are passed at once where nothing may begin.
const stride = 12

// search calls visit for every anchor in data that begins at from or after it,
// and before to, in their order.
func (t *table) search(data []byte, from, to int, visit func(at int, r *rule)) {
	end := min(len(data)-2, to+1)
	for i := from; i < end; {
		if i+stride+2 <= len(data) {
			d := data[i : i+stride+2]
			a, b := binary.LittleEndian.Uint64(d), binary.LittleEndian.Uint64(d[stride/2:])
			if t.list[hashed(a)]|t.list[hashed(a>>16)]|t.list[hashed(a>>32)]|t.list[hashed(b)]|t.list[hashed(b>>16)]|t.list[hashed(b>>32)] == 0 {
				i += stride
				continue
			}
		}
		for stop := min(end, i+stride); i < stop; i += 2 {
			if n := t.list[hashed(threeOf(data[i:i+3]))]; n != 0 {
				t.visit(data, i, t.starts[n], from, to, visit)
			}
		}
	}
}

// visit calls a function for each of some anchors that stands at an offset, or the
// byte before as it may be, and begins in a range.
func (t *table) visit(data []byte, offset int, some []start, from, to int, visit func(at int, r *rule)) {
	for i := range some {
		s := &some[i]
		at := offset - s.before
		if at < from || at >= to || len(data)-at < anchorLen || binary.LittleEndian.Uint32(data[at:]) != s.head {
			continue
		}
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
