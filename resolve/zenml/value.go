package zenml

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	yaml "go.yaml.in/yaml/v3"
)

// A Value is anything that a file of settings can hold where ZenML prescribes
// no type. The zero value is null.
type Value struct{ node *yaml.Node }

// String is what Python's str() makes of it.
func (v Value) String() string {
	if v.node == nil {
		return "None"
	}
	return pyStr(v.node)
}

// IsNull says whether it is Python's None.
func (v Value) IsNull() bool {
	return v.node == nil || v.node.Kind == yaml.ScalarNode && scalar(v.node) == nil
}

// MarshalJSON implements [json.Marshaler].
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.plain()) }

// plain is the value in types of Go's own.
func (v Value) plain() any {
	if v.node == nil {
		return nil
	}
	n := deref(v.node)
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, Value{c}.plain())
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[jsonKey(n.Content[i])] = Value{n.Content[i+1]}.plain()
		}
		return m
	}
	switch v := scalar(n).(type) {
	case pyDate:
		return v.json()
	case pyBytes:
		return string(v)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil // JSON has no such number
		}
		return v
	default:
		return v
	}
}

// jsonKey is what pydantic makes of a key for JSON.
func jsonKey(n *yaml.Node) string {
	switch v := scalar(n).(type) {
	case bool:
		return strconv.FormatBool(v)
	case pyDate:
		return v.json()
	}
	return pyStr(n)
}

// A NamedValue is an entry of a mapping, in the order of the file.
type NamedValue struct {
	Name  string
	Value Value
}

// plainMap is a mapping of values in types of Go's own.
func plainMap(list []NamedValue) map[string]any {
	m := map[string]any{}
	for _, v := range list {
		m[v.Name] = v.Value.plain()
	}
	return m
}

// pyJSON is what Python's json.dumps(v, sort_keys=True) writes, with its
// default separators and everything beyond ASCII escaped.
func pyJSON(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case *big.Int:
		return v.String()
	case float64:
		return pyFloatRepr(v)
	case string:
		return pyJSONString(v)
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return pyJSON(list)
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = pyJSON(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		items := make([]string, len(keys))
		for i, k := range keys {
			items[i] = pyJSONString(k) + ": " + pyJSON(v[k])
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return pyJSONString(fmt.Sprint(v))
}

// pyJSONString quotes a string as Python's json module does.
func pyJSONString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
