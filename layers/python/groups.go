package python

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
)

const (
	// MaxLayers is how many layers a layer is split into at most.
	MaxLayers = 40
	// aloneSize is the size in bytes above which a distribution has a layer of
	// its own.
	aloneSize = 8 << 20
	// buckets are the layers of the small distributions. With the one for what
	// nobody claims they are the fewest that a split makes.
	buckets = 8
	// MinLayers is how many layers a layer must be allowed to become, to be split.
	MinLayers = buckets + 1
)

// Groups say which of several layers a path goes into. Which ones there are
// depends on what is in the layer and on nothing that was built before.
type Groups struct {
	site  *Site
	of    map[string]int // by distribution
	names []string
}

// Groups splits a site into at most max layers, [MaxLayers] if that is less:
// big distributions each alone, by name; the others in eight by a hash of the
// name; what nobody claims last. If there is room for fewer than nine layers,
// everything stays in one. Layers may be empty.
func (s *Site) Groups(max int) *Groups {
	max = min(max, MaxLayers)
	g := &Groups{site: s, of: map[string]int{}}
	if max < MinLayers {
		g.names = []string{""}
		for name := range s.dists {
			g.of[name] = 0
		}
		return g
	}
	all := s.Distributions()
	big := slices.DeleteFunc(slices.Clone(all), func(d Distribution) bool { return d.Size <= aloneSize })
	slices.SortStableFunc(big, func(a, b Distribution) int { return cmp.Compare(b.Size, a.Size) })
	big = big[:min(len(big), max-buckets-1)]
	slices.SortFunc(big, func(a, b Distribution) int { return cmp.Compare(a.Name, b.Name) })
	for _, d := range big {
		g.of[d.Name] = len(g.names)
		g.names = append(g.names, d.Name)
	}
	first := len(g.names)
	for _, d := range all {
		if _, alone := g.of[d.Name]; !alone {
			sum := sha256.Sum256([]byte(d.Name))
			g.of[d.Name] = first + int(sum[0])%buckets
		}
	}
	for i := range buckets {
		g.names = append(g.names, "distributions "+strconv.Itoa(i+1)+" of "+strconv.Itoa(buckets))
	}
	g.names = append(g.names, "other files")
	return g
}

// Len is the number of groups.
func (g *Groups) Len() int { return len(g.names) }

// Members are the distributions of a group, sorted by name.
func (g *Groups) Members(i int) []string {
	var names []string
	for name, of := range g.of {
		if of == i {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Name says what is in a group, for people.
func (g *Groups) Name(i int) string { return g.names[i] }

// OfName is the group of a distribution, by its normalized name.
func (g *Groups) OfName(name string) int { return g.of[name] }

// Of is the group that a path belongs to, also one that is deleted.
func (g *Groups) Of(p string) int {
	if name := g.site.Owner(p); name != "" {
		return g.of[name]
	}
	return len(g.names) - 1
}
