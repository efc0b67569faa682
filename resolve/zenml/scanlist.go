package zenml

import (
	"fmt"
	"slices"
	"strings"
)

// list is the value of an expression that makes a list of strings: literals,
// other lists by name, and sums of them.
func (s *scanner) list(t []token, class *pyClass, lists map[string][]string, depth int) ([]string, error) {
	x := &listReader{scanner: s, class: class, lists: lists, depth: depth, rest: t}
	list, err := x.sum()
	if err == nil && len(x.rest) > 0 {
		err = fmt.Errorf("%q is not understood", x.rest[0].text)
	}
	return list, err
}

type listReader struct {
	*scanner
	class *pyClass
	lists map[string][]string
	depth int
	rest  []token
}

func (x *listReader) peek() string {
	if len(x.rest) == 0 || x.rest[0].string {
		return ""
	}
	return x.rest[0].text
}

func (x *listReader) accept(sign string) bool {
	if x.peek() != sign {
		return false
	}
	x.rest = x.rest[1:]
	return true
}

func (x *listReader) sum() ([]string, error) {
	list, err := x.term()
	for err == nil && x.accept("+") {
		var more []string
		more, err = x.term()
		list = append(slices.Clone(list), more...)
	}
	return list, err
}

func (x *listReader) term() ([]string, error) {
	switch {
	case x.accept("("):
		list, err := x.sum()
		if err == nil && !x.accept(")") {
			err = fmt.Errorf("a bracket is missing")
		}
		return list, err
	case x.accept("["):
		return x.literal()
	case len(x.rest) >= 3 && x.rest[1].text == ".":
		return x.attribute()
	case x.peek() != "":
		name := x.rest[0].text
		list, ok := x.lists[name]
		if !ok {
			return nil, fmt.Errorf("%q is not understood", name)
		}
		x.rest = x.rest[1:]
		return list, nil
	}
	return nil, fmt.Errorf("a list is missing")
}

// literal reads a list after its bracket.
func (x *listReader) literal() ([]string, error) {
	list := []string{}
	for !x.accept("]") {
		switch {
		case x.accept("*"):
			more, err := x.sum()
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		case len(x.rest) > 0 && x.rest[0].string:
			var b strings.Builder
			for len(x.rest) > 0 && x.rest[0].string { // neighbours are one
				b.WriteString(x.rest[0].text)
				x.rest = x.rest[1:]
			}
			list = append(list, b.String())
		default:
			return nil, fmt.Errorf("a list holds more than strings")
		}
		if !x.accept(",") && x.peek() != "]" {
			return nil, fmt.Errorf("a comma is missing")
		}
	}
	return list, nil
}

// attribute reads Class.REQUIREMENTS and Class.get_requirements(…).
func (x *listReader) attribute() ([]string, error) {
	of, name := x.rest[0].text, x.rest[2].text
	x.rest = x.rest[3:]
	class := x.classes[of]
	if of == "cls" || of == "self" {
		class = x.class
	}
	if class == nil {
		return nil, fmt.Errorf("%q is not known", of)
	}
	switch name {
	case "REQUIREMENTS":
		return class.requirements, class.broken
	case "get_requirements":
		if !x.accept("(") {
			return nil, fmt.Errorf("a call is missing")
		}
		for depth := 1; depth > 0; x.rest = x.rest[1:] {
			switch x.peek() {
			case "(":
				depth++
			case ")":
				depth--
			}
			if len(x.rest) == 0 {
				return nil, fmt.Errorf("a call does not end")
			}
		}
		return x.requirements(class, x.depth+1)
	}
	return nil, fmt.Errorf("%s.%s is not understood", of, name)
}

// A pyFunction is a get_requirements that is gone through, on Linux.
type pyFunction struct {
	*scanner
	class    *pyClass
	lists    map[string][]string
	depth    int
	returned bool
	result   []string
}

func (f *pyFunction) run(lines []logicalLine) error {
	chosen := false // a branch of the last if
	for i := 0; i < len(lines) && !f.returned; i++ {
		l := lines[i]
		inner := block(lines[i+1:], l.indent)
		switch l.tokens[0].text {
		case "if", "elif", "else":
			take, err := f.branch(l.tokens, chosen)
			if err != nil {
				return err
			}
			chosen = take || chosen && l.tokens[0].text != "if"
			if take {
				if err := f.run(inner); err != nil {
					return err
				}
			}
			i += len(inner)
		default:
			if err := f.statement(l.tokens); err != nil {
				return err
			}
		}
	}
	return nil
}

// branch says whether a branch is gone into on Linux.
func (f *pyFunction) branch(t []token, chosen bool) (bool, error) {
	if t[0].text == "else" {
		return !chosen, nil
	}
	if chosen && t[0].text == "elif" {
		return false, nil
	}
	if len(t) >= 5 && t[1].text == "target_os" && t[2].text == "=" && t[3].text == "=" && t[4].string {
		linux := strings.EqualFold(t[4].text, "linux")
		if !linux || len(t) == 6 {
			return linux, nil
		}
	}
	return false, fmt.Errorf("a condition is not understood")
}

func (f *pyFunction) statement(t []token) error {
	switch {
	case t[0].string, t[0].text == "from", t[0].text == "import", t[0].text == "pass":
		return nil
	case t[0].text == "return":
		list, err := f.list(t[1:], f.class, f.lists, f.depth)
		f.result, f.returned = list, err == nil
		return err
	case len(t) > 5 && t[1].text == "." && (t[2].text == "extend" || t[2].text == "append") && t[3].text == "(":
		value := t[4 : len(t)-1]
		if t[2].text == "append" {
			value = slices.Concat([]token{{text: "["}}, value, []token{{text: "]"}})
		}
		return f.add(t[0].text, value)
	case len(t) > 3 && t[1].text == "+" && t[2].text == "=":
		return f.add(t[0].text, t[3:])
	}
	name, value, ok := assignment(t)
	switch {
	case !ok:
		return fmt.Errorf("%q is not understood", t[0].text)
	case name == "target_os":
		return nil
	}
	list, err := f.list(value, f.class, f.lists, f.depth)
	f.lists[name] = list
	return err
}

func (f *pyFunction) add(name string, value []token) error {
	list, err := f.list(value, f.class, f.lists, f.depth)
	f.lists[name] = slices.Concat(f.lists[name], list)
	return err
}
