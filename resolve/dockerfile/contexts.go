package dockerfile

import (
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/kanso-build/kanso/resolve/plan"
)

// readContexts gives the named contexts the names under which they are looked
// for: "docker.io/library/alpine:latest" is "alpine".
func (l *lowering) readContexts() {
	l.contexts = make(map[string]plan.Source, len(l.o.Contexts))
	for _, name := range sorted(l.o.Contexts) {
		bare, platform, suffixed := strings.Cut(name, "::")
		if n, ok := familiar(bare); ok {
			bare = n
		}
		if suffixed {
			bare += "::" + platform
		}
		l.contexts[bare] = l.o.Contexts[name]
	}
}

// context is the named context that stands for a stage or an image, if there
// is one. A nil platform is the target's.
func (l *lowering) context(name string, p *platform) (plan.Source, bool) {
	if strings.EqualFold(name, scratch) || strings.EqualFold(name, "context") {
		return plan.Source{}, false
	}
	n, ok := familiar(name)
	if !ok {
		return plan.Source{}, false
	}
	if p == nil {
		p = &l.target
	}
	if s, ok := l.contexts[n+"::"+format(*p)]; ok {
		return s, true
	}
	s, ok := l.contexts[n]
	return s, ok
}

// familiar is an image's name as people write it, without ":latest".
func familiar(name string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest"), true
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
