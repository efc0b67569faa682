package zenml

import (
	"fmt"
	"math"

	yaml "go.yaml.in/yaml/v3"
)

// Equal says whether ZenML takes two settings for the same. Python decides: 1,
// 1.0 and true are one value.
func (d Docker) Equal(other Docker) bool { return d.identity() == other.identity() }

// identity is the same text for settings that ZenML takes for the same.
func (d Docker) identity() string { return fmt.Sprint(d.NoReuse) + pyJSON(d.canonical()) }

// canonical are all values in a form that is the same for what Python takes
// for equal.
func (d Docker) canonical() map[string]any {
	all := d.all()
	for key, v := range d.exact {
		all[key] = v
	}
	all["build_config"], all["parent_image_build_config"] = d.Build.canonical(), d.ParentBuild.canonical()
	return all
}

func (c BuildConfig) canonical() any {
	m, ok := c.plain().(map[string]any)
	if !ok {
		return nil
	}
	if options, given := m["build_options"].(map[string]any); given {
		for _, o := range c.Options {
			options[o.Name] = canonical(o.Value.node)
		}
	}
	return m
}

// canonicalMap is a mapping of values that Python compares.
func canonicalMap(list []NamedValue) map[string]any {
	m := map[string]any{}
	for _, v := range list {
		m[v.Name] = canonical(v.Value.node)
	}
	return m
}

func canonical(n *yaml.Node) any {
	if n == nil {
		return nil
	}
	n = deref(n)
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, canonical(item))
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[pyJSON(canonical(n.Content[i]))] = canonical(n.Content[i+1])
		}
		return m
	}
	switch v := scalar(n).(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
		return v
	case pyDate:
		return "\x00" + v.repr() // no text
	case pyBytes:
		return "\x00" + v.repr()
	default:
		return v
	}
}
