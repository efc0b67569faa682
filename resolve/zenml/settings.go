package zenml

import (
	"fmt"
	"slices"

	yaml "go.yaml.in/yaml/v3"
)

// settings are those with the key "docker" of a pipeline or a step, as they
// stand in a file: nothing in them is read yet.
type settings struct {
	document
	path string // what leads to them: "settings.docker"
	node *yaml.Node
}

// migrateKeys are the keys that source_files stands for.
var migrateKeys = []string{ //nolint:gochecknoglobals // a constant table
	"allow_including_files_in_images", "allow_download_from_code_repository", "allow_download_from_artifact_store",
}

// optionNames are what Docker's Python library calls options that have another
// name in ZenML.
var optionNames = map[string]string{ //nolint:gochecknoglobals // a constant table
	"buildargs": "build_args", "cachefrom": "cache_from", "nocache": "no_cache", "shmsize": "shm_size",
}

// migrated returns the settings with old keys replaced by those that took
// their place, as ZenML does before it merges anything (zenml.md §2.1, §14).
func (s settings) migrated() settings {
	if s.node == nil || s.node.Kind != yaml.MappingNode {
		return s
	}
	s.node = copyOf(s.node)
	for _, key := range []string{"build_config", "parent_image_build_config"} {
		config := lookup(s.node, key)
		if config == nil || config.Kind != yaml.MappingNode {
			continue
		}
		config = copyOf(config)
		set(s.node, key, config)
		if options := lookup(config, "build_options"); options != nil && options.Kind == yaml.MappingNode {
			options = copyOf(options)
			set(config, "build_options", options)
			renameOptions(options)
		}
	}
	source := lookup(s.node, "source_files")
	if source == nil || slices.ContainsFunc(migrateKeys, func(k string) bool { return lookup(s.node, k) != nil }) {
		return s
	}
	includes, downloads := false, false
	switch source.Value {
	case "download":
		downloads = true
	case "include":
		includes = true
	case "download_or_include":
		includes, downloads = true, true
	case "ignore":
	default:
		return s // refused when it is read
	}
	for i, v := range []bool{includes, downloads, false} {
		text := "false"
		if v {
			text = "true"
		}
		set(s.node, migrateKeys[i], &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: text, Line: source.Line})
	}
	return s
}

func renameOptions(options *yaml.Node) {
	for i := 0; i+1 < len(options.Content); i += 2 {
		name, ok := optionNames[options.Content[i].Value]
		if ok && lookup(options, name) == nil {
			key := *options.Content[i]
			key.Value = name
			options.Content[i] = &key
		}
	}
}

// under returns the settings of a step on those of its pipeline: mappings are
// merged, everything else is replaced, and nulls of the step change nothing
// (zenml-0.98.md §2.2).
func (s settings) under(pipeline settings) settings {
	s.node = merged(pipeline.node, withoutNulls(s.node))
	return s
}

// lookup returns the value of a key; nil if it is not there.
func lookup(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return deref(m.Content[i+1])
		}
	}
	return nil
}

// set gives a key a value, in its place or at the end.
func set(m *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = value
			return
		}
	}
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: value.Line}, value)
}

// copyOf is a mapping whose entries can be changed without changing n's.
func copyOf(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = slices.Clone(n.Content)
	return &c
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && scalar(n) == nil
}

// withoutNulls drops the entries of mappings that are null.
func withoutNulls(n *yaml.Node) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return n
	}
	c := *n
	c.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := deref(n.Content[i+1]); !isNull(v) {
			c.Content = append(c.Content, n.Content[i], withoutNulls(v))
		}
	}
	return &c
}

// merged is base with over on it.
func merged(base, over *yaml.Node) *yaml.Node {
	switch {
	case isNull(base):
		return over
	case isNull(over):
		return base
	case base.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode:
		return over
	}
	c := copyOf(base)
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], deref(over.Content[i+1])
		at := -1
		for j := 0; j+1 < len(c.Content); j += 2 {
			if pyKey(c.Content[j]) == pyKey(key) {
				at = j / 2
			}
		}
		if at < 0 {
			c.Content = append(c.Content, key, value)
			continue
		}
		if value.Kind == yaml.MappingNode {
			value = merged(deref(c.Content[2*at+1]), value)
		}
		c.Content[2*at+1] = value
	}
	return c
}

// keysOf are the keys of a mapping.
func keysOf(m *yaml.Node) []string {
	keys := make([]string, 0, len(m.Content)/2)
	for i := 0; i+1 < len(m.Content); i += 2 {
		keys = append(keys, m.Content[i].Value)
	}
	return keys
}

// flattened is a value with what its mappings merge in (YAML's <<) spelt out,
// so that keys can be looked up.
func (d document) flattened(n *yaml.Node, what string) (*yaml.Node, error) {
	n = deref(n)
	if n.Kind == yaml.SequenceNode {
		c := copyOf(n)
		for i := range c.Content {
			var err error
			if c.Content[i], err = d.flattened(c.Content[i], fmt.Sprintf("%s[%d]", what, i)); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	if n.Kind != yaml.MappingNode {
		return n, nil
	}
	pairs, err := d.mapping(n, what)
	if err != nil {
		return nil, err
	}
	c := *n
	c.Content = nil
	for _, p := range pairs {
		value, err := d.flattened(p.value, what+"."+p.key.Value)
		if err != nil {
			return nil, err
		}
		c.Content = append(c.Content, p.key, value)
	}
	return &c, nil
}
