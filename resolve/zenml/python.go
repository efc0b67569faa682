package zenml

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v3"
)

// What PyYAML, which reads YAML 1.1, makes of words without quotes.
var (
	pyNull  = regexp.MustCompile(`^(~|null|Null|NULL|)$`)
	pyTrue  = regexp.MustCompile(`^(yes|Yes|YES|true|True|TRUE|on|On|ON)$`)
	pyFalse = regexp.MustCompile(`^(no|No|NO|false|False|FALSE|off|Off|OFF)$`)
	pyInt   = regexp.MustCompile(`^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$`)
	pySixty = regexp.MustCompile(`^[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+$|^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*$`)
	pyFloat = regexp.MustCompile(`^([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// scalar is the value of a scalar as Python has it: nil, bool, int64, *big.Int,
// float64, pyDate, pyBytes or string.
func scalar(n *yaml.Node) any {
	if n.Kind != yaml.ScalarNode {
		return n.Value
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return tagged(n)
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return n.Value
	}
	s := n.Value
	if s != "" && !strings.ContainsRune("~nNtTfFyYoO.+-0123456789", rune(s[0])) {
		return s // nothing else begins like this
	}
	switch {
	case pyNull.MatchString(s):
		return nil
	case pyTrue.MatchString(s):
		return true
	case pyFalse.MatchString(s):
		return false
	case pyInt.MatchString(s):
		return integer(s)
	case pySixty.MatchString(s):
		return sixty(s)
	case pyTime.MatchString(s):
		if d, ok := readDate(s); ok {
			return d
		}
	case pyFloat.MatchString(s):
		return float(s)
	}
	return s
}

// tagged is the value of a scalar that says itself what it is; one that is not
// what it says is a string.
func tagged(n *yaml.Node) any {
	s := n.Value
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		if pyTrue.MatchString(s) || strings.EqualFold(s, "true") {
			return true
		}
		return false
	case "!!int":
		if pySixty.MatchString(s) && !strings.Contains(s, ".") {
			return sixty(s)
		}
		return integer(s)
	case "!!float":
		return float(s)
	case "!!binary":
		if data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), "")); err == nil {
			return pyBytes(data)
		}
	case "!!timestamp":
		if d, ok := readDate(s); ok {
			return d
		}
	}
	return s
}

// pyBytes are Python's bytes.
type pyBytes string

// repr is what Python's repr() makes of them.
func (b pyBytes) repr() string {
	quote := byte('\'')
	if strings.Contains(string(b), "'") && !strings.Contains(string(b), `"`) {
		quote = '"'
	}
	var s strings.Builder
	s.WriteByte('b')
	s.WriteByte(quote)
	for _, c := range []byte(b) {
		switch {
		case c == '\\' || c == quote:
			s.WriteString(`\` + string(rune(c)))
		case c == '\n':
			s.WriteString(`\n`)
		case c == '\r':
			s.WriteString(`\r`)
		case c == '\t':
			s.WriteString(`\t`)
		case c >= ' ' && c < 0x7f:
			s.WriteByte(c)
		default:
			fmt.Fprintf(&s, `\x%02x`, c)
		}
	}
	s.WriteByte(quote)
	return s.String()
}

// integer is a number of any size; what is none stays a string.
func integer(s string) any {
	digits := strings.ReplaceAll(s, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return i
	}
	if i, ok := new(big.Int).SetString(digits, 0); ok {
		return i
	}
	return s
}

// float is a number with a point; what is none stays a string.
func float(s string) any {
	word := strings.ReplaceAll(strings.ToLower(s), "_", "")
	f, err := strconv.ParseFloat(strings.Replace(strings.Replace(word, ".inf", "inf", 1), ".nan", "nan", 1), 64)
	if err != nil && !math.IsInf(f, 0) {
		return s
	}
	return f
}

// sixty is a number to the base of 60, as YAML 1.1 has them: 1:30 is 90.
func sixty(s string) any {
	digits := strings.TrimLeft(strings.ReplaceAll(s, "_", ""), "+-")
	var n float64
	for part := range strings.SplitSeq(digits, ":") {
		digit, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return s // no digits, which does not match
		}
		n = 60*n + digit
	}
	if s[0] == '-' {
		n = -n
	}
	if strings.Contains(digits, ".") {
		return n
	}
	return int64(n)
}

// pyStr is what Python's str() makes of a value.
func pyStr(n *yaml.Node) string {
	n = deref(n)
	if n.Kind == yaml.ScalarNode {
		switch v := scalar(n).(type) {
		case string:
			return v
		case pyDate:
			return v.String()
		}
	}
	return pyRepr(n)
}

// pyRepr is what Python's repr() makes of a value.
func pyRepr(n *yaml.Node) string {
	n = deref(n)
	switch n.Kind {
	case yaml.SequenceNode:
		var items []string
		for _, c := range n.Content {
			items = append(items, pyRepr(c))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case yaml.MappingNode:
		var items []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			items = append(items, pyRepr(n.Content[i])+": "+pyRepr(n.Content[i+1]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	switch v := scalar(n).(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return pyFloatRepr(v)
	case *big.Int:
		return v.String()
	case pyDate:
		return v.repr()
	case pyBytes:
		return v.repr()
	case string:
		return pyQuote(v)
	}
	return n.Value
}

func pyFloatRepr(f float64) string {
	s := strconv.FormatFloat(f, 'e', -1, 64)
	_, exp, _ := strings.Cut(s, "e")
	if n, err := strconv.Atoi(exp); err != nil || n < -4 || n >= 16 {
		switch s {
		case "+Inf":
			return "inf"
		case "-Inf":
			return "-inf"
		case "NaN":
			return "nan"
		}
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pyQuote quotes a string as Python does.
func pyQuote(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == '\\' || r == quote:
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// Quote quotes a string as Python's repr() does.
func Quote(s string) string { return pyQuote(s) }

// pyUpper is what Python's str.upper() makes of a string: some letters become
// two.
func pyUpper(s string) string {
	return strings.ToUpper(strings.NewReplacer("ß", "SS", "ŉ", "ʼN", "ﬀ", "FF", "ﬁ", "FI", "ﬂ", "FL", "ﬃ", "FFI", "ﬄ", "FFL", "ﬅ", "ST", "ﬆ", "ST").Replace(s))
}
