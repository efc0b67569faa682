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
func (d Docker) identity() string { return fmt.Sprint(d.NoReuse) + pyJSON(d.comparable()) }

// comparable are all values in a form that is the same for what Python takes
// for equal.
func (d Docker) comparable() map[string]any {
	all := d.all()
	for key, v := range d.exact {
		all[key] = v
	}
	all["build_config"], all["parent_image_build_config"] = d.Build.comparable(), d.ParentBuild.comparable()
	return all
}

func (c BuildConfig) comparable() any {
	m, ok := c.plain().(map[string]any)
	if !ok {
		return nil
	}
	if options, given := m["build_options"].(map[string]any); given {
		for _, o := range c.Options {
			options[o.Name] = comparable(o.Value.node)
		}
	}
	return m
}

// comparableMap is a mapping of values that Python compares.
func comparableMap(list []NamedValue) map[string]any {
	m := map[string]any{}
	for _, v := range list {
		m[v.Name] = comparable(v.Value.node)
	}
	return m
}

func comparable(n *yaml.Node) any {
	if n == nil {
		return nil
	}
	n = deref(n)
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, comparable(item))
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[pyJSON(comparable(n.Content[i]))] = comparable(n.Content[i+1])
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
