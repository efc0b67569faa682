package zenml

import (
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// generalKeys are the keys of settings that are not about a component.
var generalKeys = []string{"docker", "resources", "deployment"} //nolint:gochecknoglobals // a constant table

// A settingKey is a key of settings that is about a component: "orchestrator",
// "orchestrator.kubernetes" by flavor, "orchestrator:k8s" by name.
type settingKey struct {
	document
	key, path string
	node      *yaml.Node
}

// settingKeys reads the keys of settings at a path, and refuses those that mean
// nothing to ZenML.
func (d document) settingKeys(n *yaml.Node, path string) ([]settingKey, error) {
	pairs, err := d.mapping(n, path)
	if err != nil {
		return nil, err
	}
	var keys []settingKey
	for _, p := range pairs {
		key := p.key.Value
		if slices.Contains(generalKeys, key) {
			continue
		}
		kind := key
		if i := strings.IndexAny(key, ".:"); i >= 0 && i+1 < len(key) {
			kind = key[:i]
		}
		if !slices.Contains(componentTypes, kind) {
			e := d.errorf(p.key, "%s: unknown key %s", path, key)
			if near := nearest(kind, slices.Concat(generalKeys, componentTypes)); near != "" {
				e.Advice = fmt.Sprintf("did you mean %s?", near)
			}
			return nil, e
		}
		keys = append(keys, settingKey{d, key, path, p.key})
	}
	return keys, nil
}

// CheckKeys looks up the components that settings are about. It refuses two
// keys for one component, and warns of settings for components that the stack
// does not have.
func (c RunConfig) CheckKeys(s Stack, f Facts) (warnings []string, err error) {
	if len(s.Components) == 0 || !f.AtLeast("0.94.3") {
		return nil, nil
	}
	taken := map[string]string{}
	for _, k := range c.keys {
		name, known, err := k.component(s)
		if err != nil {
			return nil, err
		}
		if !known {
			warnings = append(warnings, k.errorf(k.node, "%s.%s: the stack has no such component, ignored", k.path, k.key).Error())
			continue
		}
		at := k.path + "." + name
		if other, again := taken[at]; again {
			return nil, k.errorf(k.node, "%s: %s and %s are about the same component", k.path, other, k.key)
		}
		taken[at] = k.key
	}
	return warnings, nil
}

// component is the one that a key is about, as "type:name".
func (k settingKey) component(s Stack) (name string, known bool, err error) {
	kind, selector := k.key, ""
	byName := false
	if i := strings.Index(k.key, ":"); i >= 0 {
		kind, selector, byName = k.key[:i], k.key[i+1:], true
	} else if i := strings.Index(k.key, "."); i >= 0 {
		kind, selector = k.key[:i], k.key[i+1:]
	}
	var found []string
	for _, c := range s.Components {
		if c.Type == kind && (selector == "" || byName && c.Name == selector || !byName && c.Flavor == selector) {
			found = append(found, kind+":"+c.Name)
		}
	}
	switch {
	case selector == "" && len(found) == 0:
		return "", false, k.errorf(k.node, "%s.%s: no component of the stack is a %s", k.path, k.key, kind)
	case len(found) == 0:
		return "", false, nil
	case selector != "" && len(found) > 1:
		return "", false, k.errorf(k.node, "%s.%s: the stack has %d such components", k.path, k.key, len(found))
	}
	return found[0], true, nil
}
