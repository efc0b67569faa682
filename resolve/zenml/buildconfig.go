package zenml

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// buildOptions are the options that ZenML knows, in its order; it takes others
// as they are.
var buildOptions = []string{"pull", "rm", "no_cache", "shm_size", "labels", "build_args", "cache_from"} //nolint:gochecknoglobals // a constant table

func buildConfig(to func(*Docker) *BuildConfig) settingsKey {
	return func(r *dockerReader, n *yaml.Node, key string) error {
		c := to(r.d)
		c.given = true
		pairs, err := r.mapping(n, r.name(key))
		for _, p := range pairs {
			switch name := key + "." + p.key.Value; p.key.Value {
			case "dockerignore":
				if c.Dockerignore, err = r.textOrNull(p.value, r.name(name)); err != nil {
					return err
				}
				r.d.lines[name] = p.key.Line
			case "build_options":
				if isNull(p.value) {
					continue
				}
				c.hasOptions = true
				r.d.lines[name] = p.key.Line
				if err := r.options(c, p.value, name); err != nil {
					return err
				}
			default:
				r.unknown(p.key, key+".", []string{"dockerignore", "build_options"})
			}
		}
		return err
	}
}

// options reads build options.
func (r *dockerReader) options(c *BuildConfig, n *yaml.Node, key string) error {
	list, err := r.named(n, key)
	if err != nil {
		return err
	}
	at := func(o NamedValue) int {
		if i := slices.Index(buildOptions, o.Name); i >= 0 {
			return i
		}
		return len(buildOptions)
	}
	for i, o := range list {
		if list[i].Value, err = r.option(o, key+"."+o.Name); err != nil {
			return err
		}
	}
	slices.SortStableFunc(list, func(a, b NamedValue) int { return at(a) - at(b) })
	c.Options = list
	return nil
}

// option checks an option that has a type.
func (r *dockerReader) option(o NamedValue, key string) (Value, error) {
	n, name := deref(o.Value.node), r.name(key)
	if isNull(n) {
		return o.Value, nil
	}
	var err error
	switch o.Name {
	case "pull", "rm", "no_cache":
		var b bool
		if b, err = r.truth(n, name); err == nil {
			return Value{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(b), Line: n.Line}}, nil
		}
	case "shm_size":
		if digits, ok := wholeNumber(n); ok {
			return Value{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: digits, Line: n.Line}}, nil
		}
		err = r.wrongType(n, name, "a number of bytes")
	case "labels", "build_args":
		_, err = r.named(n, key)
	case "cache_from":
		_, err = r.texts(n, name)
	}
	return o.Value, err
}

// wholeNumber is what pydantic takes for one, also text and a float, as digits.
func wholeNumber(n *yaml.Node) (digits string, ok bool) {
	switch v := scalar(n).(type) {
	case int64, *big.Int:
		return fmt.Sprint(v), true
	case bool:
		return map[bool]string{false: "0", true: "1"}[v], true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), v == math.Trunc(v) && math.Abs(v) < 1<<63
	case string:
		digits, zeros, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(v), "_", ""), ".")
		i, ok := new(big.Int).SetString(digits, 10)
		return fmt.Sprint(i), ok && n.Kind == yaml.ScalarNode && strings.Trim(zeros, "0") == ""
	}
	return "", false
}
