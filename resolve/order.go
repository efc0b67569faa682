package resolve

import (
	"fmt"
	"slices"
	"strings"
)

// stepNames are the pipeline's steps in the order in which ZenML goes through
// them. calls are names in call order, "NAME" or "NAME:UPSTREAM,…" with the
// steps that it waits for; a name that stands again is another step, NAME_2.
func stepNames(calls []string) ([]string, error) {
	count := map[string]int{}
	after := map[string][]string{}
	var names []string
	for _, call := range calls {
		name, upstream, waits := strings.Cut(call, ":")
		if name == "" {
			return nil, fmt.Errorf("step %q: want NAME or NAME:UPSTREAM,…", call)
		}
		count[name]++
		if n := count[name]; n > 1 {
			name = fmt.Sprintf("%s_%d", name, n)
		}
		names = append(names, name)
		if waits && upstream != "" {
			after[name] = strings.Split(upstream, ",")
		}
	}
	for name, list := range after {
		for _, u := range list {
			if !slices.Contains(names, u) {
				return nil, fmt.Errorf("step %s: it is to run after %q, and there is no such step", name, u)
			}
		}
	}
	return inLayers(names, after)
}

// inLayers sorts steps: first those that wait for none, then those that only
// wait for these, and so on; by name in each layer, as ZenML does.
func inLayers(names []string, after map[string][]string) ([]string, error) {
	done := map[string]bool{}
	var sorted []string
	for len(sorted) < len(names) {
		var layer []string
		for _, name := range names {
			if !done[name] && !slices.ContainsFunc(after[name], func(u string) bool { return !done[u] }) {
				layer = append(layer, name)
			}
		}
		if len(layer) == 0 {
			return nil, fmt.Errorf("steps wait for each other")
		}
		slices.Sort(layer)
		for _, name := range layer {
			done[name] = true
		}
		sorted = append(sorted, layer...)
	}
	return sorted, nil
}
