package zenml

import (
	"regexp"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// What PyYAML, which reads YAML 1.1, makes of words without quotes.
var (
	pyNull  = regexp.MustCompile(`^(~|null|Null|NULL|)$`)
	pyTrue  = regexp.MustCompile(`^(yes|Yes|YES|true|True|TRUE|on|On|ON)$`)
	pyFalse = regexp.MustCompile(`^(no|No|NO|false|False|FALSE|off|Off|OFF)$`)
	pyInt   = regexp.MustCompile(`^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$`)
	pySixty = regexp.MustCompile(`^[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+$`)
	pyTime  = regexp.MustCompile(`^\d{4}-\d\d-\d\d$|^\d{4}-\d\d?-\d\d?([Tt]|[ \t]+)\d\d?:\d\d:\d\d(\.\d*)?([ \t]*(Z|[-+]\d\d?(:\d\d)?))?$`)
	pyFloat = regexp.MustCompile(`^([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// A pyDate is a date, or a time, as it is written.
type pyDate string

// scalar is the value of a scalar as Python has it: nil, bool, int64, float64,
// pyDate or string.
func scalar(n *yaml.Node) any {
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return n.Value
	}
	if n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str" {
		return n.Value
	}
	s := n.Value
	switch {
	case pyNull.MatchString(s):
		return nil
	case pyTrue.MatchString(s):
		return true
	case pyFalse.MatchString(s):
		return false
	case pyInt.MatchString(s):
		if i, err := strconv.ParseInt(pyDigits(s), 0, 64); err == nil {
			return i
		}
	case pySixty.MatchString(s):
		return sixty(s)
	case pyTime.MatchString(s):
		return pyDate(s)
	case pyFloat.MatchString(s):
		if f, err := strconv.ParseFloat(strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(s), "_", ""), ".inf", "inf"), 64); err == nil {
			return f
		}
		if strings.EqualFold(s, ".nan") {
			f, _ := strconv.ParseFloat("nan", 64) // always parses
			return f
		}
	}
	return s
}

// sixty is a number to the base of 60, as YAML 1.1 has them: 1:30 is 90.
func sixty(s string) int64 {
	var n int64
	for part := range strings.SplitSeq(strings.TrimLeft(pyDigits(s), "+-"), ":") {
		digit, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return 0 // no digits, which does not match
		}
		n = 60*n + digit
	}
	if s[0] == '-' {
		return -n
	}
	return n
}

// pyDigits is a number of PyYAML's as one of Go's.
func pyDigits(s string) string { return strings.ReplaceAll(s, "_", "") }

// pyStr is what Python's str() makes of a value.
func pyStr(n *yaml.Node) string {
	n = deref(n)
	if n.Kind == yaml.ScalarNode {
		if s, ok := scalar(n).(string); ok {
			return s
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
	case pyDate:
		return string(v)
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
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, quote, `\`+quote).Replace(s)
	return quote + s + quote
}
