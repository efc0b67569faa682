package zenml

import (
	_ "embed" // for the helper
	"encoding/json"
	"fmt"

	yaml "go.yaml.in/yaml/v3"
)

//go:embed compile.py
var compileScript string

// CompileCommand is the command that has the project's own ZenML compile a
// pipeline, and prints what [ReadCompiled] reads. source is FILE:NAME, root
// the source root, config a run configuration or empty. It registers, uploads
// and runs nothing, but importing the project's modules runs what stands in
// them.
func CompileCommand(python, source, root, config string) []string {
	return []string{python, "-c", compileScript, source, root, config}
}

// Compiled is what ZenML made of a pipeline in Python.
type Compiled struct {
	// Source is FILE:NAME, which errors name.
	Source   string          `json:"-"`
	Pipeline string          `json:"pipeline"`
	ZenML    string          `json:"zenml_version"`
	Python   string          `json:"python_version"`
	Dynamic  bool            `json:"dynamic"`
	Failure  string          `json:"error"`
	Docker   json.RawMessage `json:"docker"`
	Steps    []struct {
		Name     string          `json:"name"`
		Docker   json.RawMessage `json:"docker"`
		Operator any             `json:"step_operator"`
		Seldon   bool            `json:"seldon"`
	} `json:"steps"`
	// Stack is the active stack; empty for ZenML before 0.20.
	Stack json.RawMessage `json:"stack"`
}

// ReadCompiled reads what the command of [CompileCommand] printed. What ZenML
// itself refuses is an [*Error].
func ReadCompiled(source string, data []byte) (Compiled, error) {
	c := Compiled{Source: source}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("pipeline %s: the project's Python gave no answer: %w", source, err)
	}
	if c.Failure != "" {
		return c, &Error{File: source, Msg: c.Failure, Advice: "the message is Python's own: run the file with the project's Python to see more of it"}
	}
	return c, nil
}

// RunConfig returns the settings as a run configuration has them, with those
// of all steps.
func (c Compiled) RunConfig(f Facts) (RunConfig, error) {
	whole, err := c.docker(c.Docker, "settings.docker", f)
	if err != nil {
		return RunConfig{}, err
	}
	config := RunConfig{Docker: whole, Warnings: whole.Warnings}
	for _, s := range c.Steps {
		step := Step{Name: s.Name, Seldon: s.Seldon}
		switch operator := s.Operator.(type) {
		case string:
			step.Operator = operator
		case bool:
			step.AnyOperator = operator
		}
		if step.Docker, err = c.docker(s.Docker, "steps."+s.Name+".settings.docker", f); err != nil {
			return RunConfig{}, err
		}
		config.Named = append(config.Named, step)
	}
	return config, nil
}

func (c Compiled) docker(data json.RawMessage, path string, f Facts) (Docker, error) {
	doc, err := parse(c.Source, data) // JSON is YAML, too
	if err != nil {
		return Docker{}, err
	}
	if doc.root != nil {
		withoutLines(doc.root)
	}
	return settings{document: doc, path: path, node: doc.root}.migrated().read(f)
}

// withoutLines forgets where things stand: the user never saw that text.
func withoutLines(n *yaml.Node) {
	n.Line = 0
	for _, child := range n.Content {
		withoutLines(child)
	}
}
