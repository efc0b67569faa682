package zenml

import (
	"fmt"
	"regexp"
	"slices"

	yaml "go.yaml.in/yaml/v3"
)

// A RunConfig is what a run configuration says of images.
type RunConfig struct {
	Docker Docker
	// Warnings tell of what is in the file and has no effect.
	Warnings []string
}

// runKeys are the top-level keys of run configurations.
var runKeys = []string{ //nolint:gochecknoglobals // a constant table
	"run_name", "enable_cache", "enable_artifact_metadata", "enable_artifact_visualization", "enable_step_logs", "enable_pipeline_logs",
	"enable_heartbeat", "schedule", "build", "steps", "settings", "environment", "secrets", "tags", "extra", "model", "parameters", "retry",
	"failure_hook_source", "success_hook_source", "init_hook_source", "init_hook_kwargs", "cleanup_hook_source", "substitutions",
	"cache_policy", "execution_mode",
}

// NoRunConfig is what holds where there is no run configuration.
func NoRunConfig() RunConfig {
	return RunConfig{Docker: Docker{StackPackages: true, Include: true, lines: map[string]int{}}}
}

// ReadRunConfig reads a run configuration. file is its name in errors, each of
// which is an [*Error]; env has the values of ${NAME} in it. An empty file says
// nothing.
func ReadRunConfig(file string, data []byte, env map[string]string) (RunConfig, error) {
	doc, err := parse(file, data)
	if err != nil || doc.root == nil {
		return NoRunConfig(), err
	}
	if err := doc.substitute(doc.root, env); err != nil {
		return RunConfig{}, err
	}
	c := NoRunConfig()
	pairs, err := doc.mapping(doc.root, "the run configuration")
	if err != nil {
		return RunConfig{}, err
	}
	for _, p := range pairs {
		switch key := p.key.Value; {
		case key == "settings":
			if c.Docker, err = doc.settings(p.value); err != nil {
				return RunConfig{}, err
			}
		case key == "steps":
			if err := doc.steps(p.value); err != nil {
				return RunConfig{}, err
			}
		case key == "build":
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s:%d: build is ignored: an image is built", file, p.key.Line))
		case !slices.Contains(runKeys, key):
			e := doc.errorf(p.key, "unknown key %s", key)
			if n := nearest(key, runKeys); n != "" {
				e.Advice = fmt.Sprintf("did you mean %s?", n)
			}
			return RunConfig{}, e
		}
	}
	return c, nil
}

// settings reads the part of settings that is about images.
func (d document) settings(n *yaml.Node) (Docker, error) {
	pairs, err := d.mapping(n, "settings")
	if err != nil {
		return Docker{}, err
	}
	for _, p := range pairs {
		if p.key.Value == "docker" {
			return readDocker(d, p.value)
		}
	}
	return NoRunConfig().Docker, nil
}

// steps refuses settings of single steps, which would need images of their own.
func (d document) steps(n *yaml.Node) error {
	steps, err := d.mapping(n, "steps")
	if err != nil {
		return err
	}
	for _, s := range steps {
		keys, err := d.mapping(s.value, "steps."+s.key.Value)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.key.Value != "settings" {
				continue
			}
			settings, err := d.mapping(k.value, "steps."+s.key.Value+".settings")
			if err != nil {
				return err
			}
			for _, p := range settings {
				if p.key.Value == "docker" {
					e := d.errorf(p.key, "steps.%s.settings.docker is not supported yet", s.key.Value)
					e.Advice = "move the settings to the pipeline; kanso does not ignore a setting in silence"
					return e
				}
			}
		}
	}
	return nil
}

// placeholder is what ZenML replaces by the client's environment.
var placeholder = regexp.MustCompile(`\$\{([a-zA-Z0-9_]+)\}`)

// substitute replaces ${NAME} in all strings, keys too.
func (d document) substitute(n *yaml.Node, env map[string]string) error {
	if n.Kind == yaml.ScalarNode {
		var missing string
		replaced := placeholder.ReplaceAllStringFunc(n.Value, func(m string) string {
			name := placeholder.FindStringSubmatch(m)[1]
			value, ok := env[name]
			if !ok {
				missing = name
			}
			return value
		})
		if missing != "" {
			e := d.errorf(n, "the environment has no variable %s", missing)
			e.Advice = "set it: ZenML replaces ${" + missing + "} by its value"
			return e
		}
		if replaced != n.Value {
			n.Value, n.Style, n.Tag = replaced, yaml.DoubleQuotedStyle, "!!str" // it stays a string whatever it looks like
		}
	}
	for _, c := range n.Content {
		if err := d.substitute(c, env); err != nil {
			return err
		}
	}
	return nil
}
