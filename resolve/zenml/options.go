package zenml

import (
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// WithPull is the build configuration as ZenML hands it to the image builder:
// it says whether the base is pulled, whatever the options say if it is forced,
// and keeps containers of steps unless it is told otherwise (zenml.md §4).
func (c BuildConfig) WithPull(pull, forced bool) BuildConfig {
	list := []NamedValue{c.option("pull", pull, forced), c.option("rm", false, false)}
	for _, o := range c.Options {
		if o.Name != "pull" && o.Name != "rm" {
			list = append(list, o)
		}
	}
	c.Options, c.given, c.hasOptions = list, true, true
	return c
}

// option is the one of that name, or if there is none or forced one that says
// otherwise.
func (c BuildConfig) option(name string, otherwise, forced bool) NamedValue {
	for _, o := range c.Options {
		if o.Name == name && !o.Value.IsNull() && !forced {
			return o
		}
	}
	return NamedValue{name, Value{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(otherwise)}}}
}

// Set returns the options that are not null.
func (c BuildConfig) Set() map[string]any {
	m := map[string]any{}
	for _, o := range c.Options {
		if !o.Value.IsNull() {
			m[o.Name] = o.Value.plain()
		}
	}
	return m
}

// CLI returns the options as docker build takes them (zenml.md §14).
func (c BuildConfig) CLI() []string {
	words := []string{}
	for _, o := range c.Options {
		flag := "--" + strings.ReplaceAll(o.Name, "_", "-")
		known := slices.Contains(buildOptions, o.Name)
		switch o.Name {
		case "labels":
			flag = "--label"
		case "build_args":
			flag = "--build-arg"
		}
		words = append(words, cliWords(flag, o.Value, known)...)
	}
	return words
}

func cliWords(flag string, v Value, known bool) []string {
	if v.IsNull() {
		if known {
			return nil
		}
		return []string{flag}
	}
	var words []string
	n := deref(v.node)
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			words = append(words, flag, pyStr(n.Content[i])+"="+pyStr(n.Content[i+1]))
		}
		return words
	case yaml.SequenceNode:
		for _, item := range n.Content {
			words = append(words, flag, pyStr(item))
		}
		return words
	}
	return cliScalar(flag, n, known)
}

// cliScalar has the flag alone for what Python takes for true.
func cliScalar(flag string, n *yaml.Node, known bool) []string {
	switch x := scalar(n).(type) {
	case bool:
		if x {
			return []string{flag}
		}
		return nil
	case int64:
		if x == 0 && known {
			return nil
		}
		if x == 1 && !known { // Python: 1 in (True, None)
			return []string{flag}
		}
	case float64:
		if x == 1 && !known {
			return []string{flag}
		}
	}
	return []string{flag, pyStr(n)}
}

// BuildArgs are the names of the build arguments, in the order of the file.
func (c BuildConfig) BuildArgs() []string {
	var names []string
	for _, o := range c.Options {
		if n := o.Value.node; o.Name == "build_args" && n != nil && n.Kind == yaml.MappingNode {
			names = append(names, keysOf(n)...)
		}
	}
	return names
}

// Option returns the text of an option that is not null.
func (c BuildConfig) Option(name string) (string, bool) {
	for _, o := range c.Options {
		if o.Name == name && !o.Value.IsNull() {
			return o.Value.String(), true
		}
	}
	return "", false
}

// Labels are the labels of the options, in the order of the file.
func (c BuildConfig) Labels() []NamedValue {
	for _, o := range c.Options {
		if n := o.Value.node; o.Name == "labels" && n != nil && n.Kind == yaml.MappingNode {
			var list []NamedValue
			for i := 0; i+1 < len(n.Content); i += 2 {
				list = append(list, NamedValue{n.Content[i].Value, Value{n.Content[i+1]}})
			}
			return list
		}
	}
	return nil
}

// WithOptions is the configuration with other options, as they are.
func (c BuildConfig) WithOptions(options []NamedValue) BuildConfig {
	c.Options, c.given, c.hasOptions = options, true, true
	return c
}

// A BuildOption is an option with its value as words: those of a list, of a
// mapping NAME=VALUE, and else one. An option that is true has the word "true",
// one without a value none.
type BuildOption struct {
	Name  string
	Words []string
}

// Each are the options that are neither null nor false, in their order.
func (c BuildConfig) Each() []BuildOption {
	var list []BuildOption
	for _, o := range c.Options {
		b := BuildOption{Name: o.Name}
		if o.Value.IsNull() {
			if o.Value.node != nil && !slices.Contains(buildOptions, o.Name) {
				list = append(list, b)
			}
			continue
		}
		n := deref(o.Value.node)
		if x, isBool := scalar(n).(bool); isBool && !x {
			continue
		}
		b.Words = words(n)
		list = append(list, b)
	}
	return list
}

// words are the value of an option: see [BuildOption].
func words(n *yaml.Node) (out []string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = append(out, pyStr(n.Content[i])+"="+pyStr(n.Content[i+1]))
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			out = append(out, pyStr(item))
		}
	default:
		if _, isBool := scalar(n).(bool); isBool {
			return []string{"true"}
		}
		out = []string{pyStr(n)}
	}
	return out
}
