package zenml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// sizeLimit is the size in bytes up to which a file of settings is read.
const sizeLimit = 4 << 20

// A document is a parsed YAML file.
type document struct {
	file string
	root *yaml.Node // nil for an empty file
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// parse reads YAML; an error says the line.
func parse(file string, data []byte) (document, error) {
	if len(data) > sizeLimit {
		return document{}, &Error{File: file, Msg: fmt.Sprintf("longer than %d bytes", sizeLimit)}
	}
	var n yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&n); err != nil {
		if errors.Is(err, io.EOF) {
			return document{file: file}, nil
		}
		e := &Error{File: file, Line: 1, Msg: strings.TrimPrefix(err.Error(), "yaml: "), Advice: "the file is not valid YAML: look at the line that is named and at the one above it"}
		if m := yamlLine.FindStringSubmatch(e.Msg); m != nil {
			e.Line, _ = strconv.Atoi(m[1]) // digits, as matched
			e.Msg = strings.Replace(e.Msg, m[0], "", 1)
		}
		return document{}, e
	}
	if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
		return document{file: file}, nil
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return document{}, &Error{File: file, Line: n.Content[0].Line, Msg: "there is a second document in it", Advice: "a line of three hyphens begins another document: leave it out"}
	}
	d := document{file: file, root: n.Content[0]}
	return d, d.checkSize(d.root)
}

// nodeLimit is how many values a file may have with all its aliases written
// out.
const nodeLimit = 1 << 20

// checkSize refuses files whose aliases lead to themselves, or write out to
// more than can be read.
func (d document) checkSize(root *yaml.Node) error {
	sizes := map[*yaml.Node]int{} // 0 while a node is being counted
	var count func(n *yaml.Node) (int, error)
	count = func(n *yaml.Node) (int, error) {
		n = deref(n)
		if size, known := sizes[n]; known && size == 0 {
			return 0, d.errorf(n, "the anchor %s contains itself", n.Anchor)
		} else if known {
			return size, nil
		}
		sizes[n] = 0
		size := 1
		for _, c := range n.Content {
			more, err := count(c)
			if err != nil {
				return 0, err
			}
			if size += more; size > nodeLimit {
				return 0, d.errorf(n, "more than %d values, with aliases written out", nodeLimit)
			}
		}
		sizes[n] = size
		return size, nil
	}
	_, err := count(root)
	return err
}

func (d document) errorf(n *yaml.Node, format string, args ...any) *Error {
	e := &Error{File: d.file, Msg: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line = n.Line
	}
	return e
}

// a pair is an entry of a mapping.
type pair struct {
	key   *yaml.Node
	value *yaml.Node
}

// mapping returns the entries of a mapping; null is an empty one. what names
// it in errors.
func (d document) mapping(n *yaml.Node, what string) ([]pair, error) {
	if n == nil {
		return nil, nil
	}
	if n = deref(n); isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, d.wrongType(n, what, "a mapping")
	}
	var merged, own []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Tag != "!!merge" {
			own = append(own, pair{k, deref(n.Content[i+1])})
			continue
		}
		more, err := d.merges(deref(n.Content[i+1]), what)
		if err != nil {
			return nil, err
		}
		merged = append(merged, more...)
	}
	return lastOfEach(append(firstOfEach(merged), own...)), nil
}

// repeated tells of keys that stand twice in a mapping.
func (d document) repeated(n *yaml.Node) []string {
	var found []string
	lines := map[string]int{}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if key := pyKey(k); k.Kind == yaml.ScalarNode && k.Tag != "!!merge" && lines[key] > 0 {
			found = append(found, d.errorf(k, "the key %s is there twice, in line %d already: the last one holds", k.Value, lines[key]).Error())
		} else if k.Kind == yaml.ScalarNode {
			lines[key] = k.Line
		}
	}
	for _, c := range n.Content {
		found = append(found, d.repeated(c)...)
	}
	return found
}

// merges returns what a mapping takes over from another, or from several.
func (d document) merges(n *yaml.Node, what string) ([]pair, error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var list []pair
	for _, item := range items {
		if item = deref(item); item.Kind != yaml.MappingNode {
			return nil, d.wrongType(item, what+".<<", "a mapping, or a list of mappings")
		}
		pairs, err := d.mapping(item, what)
		if err != nil {
			return nil, err
		}
		list = append(list, pairs...)
	}
	return list, nil
}

// pyKey is the same text for keys that Python takes for equal.
func pyKey(n *yaml.Node) string { return pyJSON(canonical(n)) }

// firstOfEach has every key once, with its first value.
func firstOfEach(list []pair) []pair {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(p pair) bool {
		key := pyKey(p.key)
		again := seen[key]
		seen[key] = true
		return again
	})
}

// lastOfEach has every key once, where it stood first and with its last value,
// as Python reads a mapping.
func lastOfEach(list []pair) []pair {
	at := map[string]int{}
	kept := list[:0]
	for _, p := range list {
		key := pyKey(p.key)
		if i, again := at[key]; again {
			kept[i].value = p.value
			continue
		}
		at[key] = len(kept)
		kept = append(kept, p)
	}
	return kept
}

// deref follows an alias.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// wrongType says that a value is not of the type that it must have.
func (d document) wrongType(n *yaml.Node, what, want string) *Error {
	e := d.errorf(n, "%s must be %s, not %s", what, want, describe(n))
	e.Advice = fmt.Sprintf("write %s as %s", what, want)
	return e
}

// describe names the type of a value.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch scalar(n).(type) {
	case nil:
		return "nothing"
	case bool:
		return "a boolean"
	case int64, *big.Int, float64:
		return "a number"
	case pyDate:
		return "a date"
	}
	return "a string"
}

// text returns a string; numbers are taken for what they look like.
func (d document) text(n *yaml.Node, what string) (string, error) {
	if n.Kind == yaml.ScalarNode {
		switch v := scalar(n).(type) {
		case string:
			return v, nil
		}
	}
	return "", d.wrongType(n, what, "a string")
}

// textOrNull returns a string; null is an empty one.
func (d document) textOrNull(n *yaml.Node, what string) (string, error) {
	if isNull(n) {
		return "", nil
	}
	return d.text(n, what)
}

// truth returns a boolean, or what pydantic takes for one.
func (d document) truth(n *yaml.Node, what string) (bool, error) {
	if n.Kind == yaml.ScalarNode {
		switch v := scalar(n).(type) {
		case bool:
			return v, nil
		case int64:
			if v == 0 || v == 1 {
				return v == 1, nil
			}
		case float64:
			if v == 0 || v == 1 {
				return v == 1, nil
			}
		case string:
			switch strings.ToLower(v) {
			case "1", "on", "t", "true", "y", "yes":
				return true, nil
			case "0", "off", "f", "false", "n", "no":
				return false, nil
			}
		}
	}
	return false, d.wrongType(n, what, "true or false")
}

// texts returns a list of strings.
func (d document) texts(n *yaml.Node, what string) ([]string, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, d.wrongType(n, what, "a list")
	}
	var list []string
	for i, item := range n.Content {
		item = deref(item)
		name := fmt.Sprintf("%s[%d]", what, i)
		if isNull(item) {
			return nil, d.wrongType(item, name, "a string")
		}
		s, err := d.text(item, name)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
