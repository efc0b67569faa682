// Package dockerfile reads Dockerfiles as Docker does, on BuildKit's parser.
//
// It knows nothing of ZenML, of images or of files: text goes in, instructions
// come out.
package dockerfile

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/kanso-build/kanso/resolve/plan"
)

// Env returns the variables that an ENV instruction sets: quotes removed and
// variables replaced by their values in env, as Docker does. arguments is what
// stands after ENV; it must be one line.
func Env(arguments string, env map[string]string) ([]plan.Var, error) {
	if strings.ContainsAny(arguments, "\n\r") {
		return nil, fmt.Errorf("ENV: the value has several lines, which ends the instruction")
	}
	parsed, err := parser.Parse(strings.NewReader("ENV " + arguments + "\n"))
	if err != nil {
		return nil, fmt.Errorf("ENV: %w", err)
	}
	if len(parsed.AST.Children) != 1 {
		return nil, fmt.Errorf("ENV: it is not one instruction")
	}
	lex := shell.NewLex('\\')
	known := values(env)
	var vars []plan.Var
	// Each variable is three nodes: name, value, and what stood between them.
	for n := parsed.AST.Children[0].Next; n != nil && n.Next != nil; n = n.Next.Next.Next {
		name, _, err := lex.ProcessWord(n.Value, known)
		if err != nil {
			return nil, fmt.Errorf("ENV %s: %w", n.Value, err)
		}
		value, _, err := lex.ProcessWord(n.Next.Value, known)
		if err != nil {
			return nil, fmt.Errorf("ENV %s: %w", n.Value, err)
		}
		vars = append(vars, plan.Var{Name: name, Value: value})
		if n.Next.Next == nil {
			break
		}
	}
	return vars, nil
}

// values is an environment as the shell lexer asks for it.
type values map[string]string

// Get implements shell.EnvGetter.
func (v values) Get(name string) (string, bool) {
	s, ok := v[name]
	return s, ok
}

// Keys implements shell.EnvGetter.
func (v values) Keys() []string {
	names := make([]string, 0, len(v))
	for n := range v {
		names = append(names, n)
	}
	return names
}
