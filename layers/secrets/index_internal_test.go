package secrets

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// hit is a place where a rule may apply.
type hit struct {
	at    int
	match string
}

// hits are what a search visits.
func hits(t *table, data []byte, from, to int) []hit {
	var all []hit
	t.search(data, from, to, func(at int, r *rule) { all = append(all, hit{at, r.match}) })
	return all
}

// plainly is the same by the simplest way there is: every anchor at every place.
func plainly(rules []*rule, data []byte, from, to int) []hit {
	var all []hit
	for at := from; at < min(len(data), to); at++ {
		for _, r := range rules {
			for _, a := range r.anchors {
				if bytes.HasPrefix(data[at:], []byte(a)) {
					all = append(all, hit{at, r.match})
				}
			}
		}
	}
	return all
}

// sameHits compares what two ways find, in any order at one place.
func sameHits(a, b []hit) bool {
	count := map[hit]int{}
	for _, h := range a {
		count[h]++
	}
	for _, h := range b {
		count[h]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return slices.IsSortedFunc(a, func(x, y hit) int { return x.at - y.at })
}

// TestSearchFindsWhatIsThere has anchors, parts of them and noise in any order.
func TestSearchFindsWhatIsThere(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var anchors []string
	for _, rule := range rules() {
		anchors = append(anchors, rule.anchors...)
	}
	found := 0
	for range 1000 {
		var data []byte
		for range r.IntN(12) {
			a := anchors[r.IntN(len(anchors))]
			switch r.IntN(4) {
			case 0:
				data = append(data, a...)
			case 1:
				data = append(data, a[:r.IntN(len(a))]...)
			case 2:
				data = append(data, a[r.IntN(len(a)):]...)
			}
			for range r.IntN(40) {
				data = append(data, byte(r.IntN(256)))
			}
		}
		from := r.IntN(len(data) + 1)
		found += compareHits(t, data, from, from+r.IntN(len(data)-from+1))
	}
	if found < 500 {
		t.Errorf("only %d anchors were there to be found", found)
	}
}

// compareHits searches both ways and says how many anchors there are.
func compareHits(t *testing.T, data []byte, from, to int) int {
	t.Helper()
	n := 0
	all := rules()
	for table, some := range map[*table][]*rule{
		ready().all:       all,
		ready().installed: slices.DeleteFunc(slices.Clone(all), func(r *rule) bool { return !r.installed }),
	} {
		got, want := hits(table, data, from, to), plainly(some, data, from, to)
		if !sameHits(got, want) {
			t.Fatalf("%q from %d to %d: %d anchors, want %d", data, from, to, len(got), len(want))
		}
		n += len(want)
	}
	return n
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte("-----BEGIN sk-ant-hf_a://AKIA8Q~x"), uint16(0), uint16(40))
	f.Fuzz(func(t *testing.T, data []byte, a, b uint16) {
		from := min(int(a), len(data))
		compareHits(t, data, from, min(from+int(b), len(data)))
	})
}
