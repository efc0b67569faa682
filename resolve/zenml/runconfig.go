package zenml

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A RunConfig is what a run configuration says of images.
type RunConfig struct {
	// Docker are the pipeline's settings.
	Docker Docker
	// Named are the steps that the file names, in its order.
	Named []Step
	// Warnings tell of what is in the file and has no effect.
	Warnings []string
	// always says by key of settings that the pipeline's image is made in any
	// case: "orchestrator", "orchestrator.kubernetes", "orchestrator:name".
	always map[string]bool
	keys   []settingKey
}

// AlwaysWhole says whether the pipeline's own image is made even if no step
// uses it, which a Kubernetes orchestrator can be told to do.
func (c RunConfig) AlwaysWhole(s Stack) bool {
	o, ok := s.first("orchestrator")
	if !ok || o.Flavor != "kubernetes" {
		return false
	}
	for _, key := range []string{"orchestrator", "orchestrator.kubernetes", "orchestrator:" + o.Name} {
		if always, said := c.always[key]; said {
			return always
		}
	}
	return o.isTrue("always_build_pipeline_image")
}

// readAlways looks at settings of orchestrators.
func (c *RunConfig) readAlways(doc document, n *yaml.Node) error {
	pairs, err := doc.mapping(n, "settings")
	if err != nil {
		return err
	}
	c.always = map[string]bool{}
	for _, p := range pairs {
		if !strings.HasPrefix(p.key.Value, "orchestrator") || p.value.Kind != yaml.MappingNode {
			continue
		}
		if v := lookup(p.value, "always_build_pipeline_image"); v != nil && !isNull(v) {
			if c.always[p.key.Value], err = doc.truth(v, "settings."+p.key.Value+".always_build_pipeline_image"); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Step is what must be known of one.
type Step struct {
	Name string
	// Docker are the pipeline's settings with the step's own on them.
	Docker Docker
	// Operator is the name of the step operator that runs it; AnyOperator says
	// that it is all that the stack has.
	Operator     string
	AnyOperator  bool
	operatorLine int
	// Seldon says that the step deploys a model with Seldon, in its image.
	Seldon bool
}

// Step returns a step by name; one that the file does not name has the
// pipeline's settings.
func (c RunConfig) Step(name string) Step {
	for _, s := range c.Named {
		if s.Name == name {
			return s
		}
	}
	return Step{Name: name, Docker: c.Docker}
}

// runKeys are the top-level keys of run configurations.
var runKeys = []string{ //nolint:gochecknoglobals // a constant table
	"run_name", "enable_cache", "enable_artifact_metadata", "enable_artifact_visualization", "enable_step_logs", "enable_pipeline_logs",
	"enable_heartbeat", "schedule", "build", "steps", "settings", "environment", "secrets", "tags", "extra", "model", "parameters", "retry",
	"failure_hook_source", "success_hook_source", "init_hook_source", "init_hook_kwargs", "cleanup_hook_source", "substitutions",
	"cache_policy", "execution_mode",
}

// ReadRunConfig reads a run configuration for a version of ZenML. file is its
// name in errors, each of which is an [*Error]; env has the values of ${NAME}
// in it. An empty file says nothing.
func ReadRunConfig(file string, data []byte, env map[string]string, f Facts) (RunConfig, error) {
	doc, err := parse(file, data)
	if err != nil || doc.root == nil {
		return RunConfig{Docker: Defaults()}, err
	}
	if err := doc.substitute(doc.root, env); err != nil {
		return RunConfig{}, err
	}
	c := RunConfig{Docker: Defaults(), Warnings: doc.repeated(doc.root)}
	pairs, err := doc.mapping(doc.root, "the run configuration")
	if err != nil {
		return RunConfig{}, err
	}
	pipeline := settings{document: doc, path: "settings.docker"}
	var steps *yaml.Node
	for _, p := range pairs {
		switch key := p.key.Value; {
		case key == "settings":
			if c.keys, err = doc.settingKeys(p.value, key); err == nil {
				pipeline, err = doc.docker(p.value, key)
			}
			if err == nil {
				err = c.readAlways(doc, p.value)
			}
			if err != nil {
				return RunConfig{}, err
			}
		case key == "steps":
			steps = p.value
		case key == "build":
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s:%d: build is ignored: an image is built", file, p.key.Line))
		case !slices.Contains(runKeys, key):
			if err := c.unknown(doc, p.key, "", runKeys, f); err != nil {
				return RunConfig{}, err
			}
		}
	}
	if c.Docker, err = pipeline.read(f); err != nil {
		return RunConfig{}, err
	}
	c.Warnings = append(c.Warnings, c.Docker.Warnings...)
	return c, c.readSteps(doc, steps, pipeline, f)
}

// unknown warns of a key that ZenML ignores, or refuses it before 0.82.
func (c *RunConfig) unknown(doc document, key *yaml.Node, prefix string, known []string, f Facts) error {
	e := doc.errorf(key, "%sunknown key %s", prefix, key.Value)
	near := nearest(key.Value, known)
	if near != "" {
		e.Advice = fmt.Sprintf("did you mean %s?", near)
	}
	if !f.IgnoresUnknownKeys {
		return e
	}
	e.Msg = prefix + key.Value + ": unknown key, ignored"
	if near != "" {
		e.Msg += " (" + strings.TrimSuffix(e.Advice, "?") + "?)"
	}
	c.Warnings = append(c.Warnings, e.Error())
	return nil
}

// readSteps reads what a run configuration says of single steps.
func (c *RunConfig) readSteps(doc document, n *yaml.Node, pipeline settings, f Facts) error {
	steps, err := doc.mapping(n, "steps")
	if err != nil {
		return err
	}
	for _, s := range steps {
		step, err := c.readStep(doc, s, pipeline, f)
		if err != nil {
			return err
		}
		c.Named = append(c.Named, step)
	}
	return nil
}

func (c *RunConfig) readStep(doc document, s pair, pipeline settings, f Facts) (Step, error) {
	step := Step{Name: s.key.Value, Docker: c.Docker}
	path := "steps." + step.Name
	if isNull(s.value) {
		return step, doc.wrongType(s.value, path, "a mapping")
	}
	keys, err := doc.mapping(s.value, path)
	if err != nil {
		return step, err
	}
	for _, k := range keys {
		switch k.key.Value {
		case "settings":
			err = c.stepSettings(&step, doc, k, path, pipeline, f)
		case "step_operator":
			err = step.operator(doc, k.value, path+".step_operator")
		case "extra":
			err = step.extra(doc, k.value, path+".extra")
		}
		if err != nil {
			return step, err
		}
	}
	return step, nil
}

// stepSettings reads a step's own settings, alone as ZenML does, and on those
// of the pipeline.
func (c *RunConfig) stepSettings(step *Step, doc document, k pair, path string, pipeline settings, f Facts) error {
	keys, err := doc.settingKeys(k.value, path+".settings")
	if err != nil {
		return err
	}
	c.keys = append(c.keys, keys...)
	own, err := doc.docker(k.value, path+".settings")
	if err != nil {
		return err
	}
	if own.node = withoutNulls(own.node); own.node == nil || len(own.node.Content) == 0 {
		return nil
	}
	if !f.StepSettings {
		return doc.errorf(k.key, "%s: settings of single steps exist from ZenML 0.34 on", own.path)
	}
	alone, err := own.read(f)
	if err != nil {
		return err
	}
	c.Warnings = append(c.Warnings, alone.Warnings...)
	step.Docker, err = own.under(pipeline).read(f)
	return err
}

// operator reads which step operator runs the step.
func (s *Step) operator(doc document, n *yaml.Node, what string) (err error) {
	s.operatorLine = n.Line
	if name, ok := scalar(n).(string); ok && n.Kind == yaml.ScalarNode {
		s.Operator = name
		return nil
	}
	if isNull(n) {
		return nil
	}
	if s.AnyOperator, err = doc.truth(n, what); err != nil {
		return doc.wrongType(n, what, "the name of a step operator, true or false")
	}
	return nil
}

// extra reads what marks a step that deploys with Seldon.
func (s *Step) extra(doc document, n *yaml.Node, what string) error {
	pairs, err := doc.mapping(n, what)
	for _, p := range pairs {
		if v, ok := scalar(p.value).(bool); ok && p.key.Value == "seldon_custom_deployment" {
			s.Seldon = v
		}
	}
	return err
}

// docker returns the settings with the key "docker", migrated.
func (d document) docker(n *yaml.Node, path string) (settings, error) {
	s := settings{document: d, path: path + ".docker"}
	pairs, err := d.mapping(n, path)
	if err != nil {
		return s, err
	}
	for _, p := range pairs {
		if p.key.Value != "docker" {
			continue
		}
		if s.node, err = d.flattened(p.value, s.path); err != nil {
			return s, err
		}
		if s.node.Kind != yaml.MappingNode {
			return s, d.wrongType(s.node, s.path, "a mapping")
		}
	}
	return s.migrated(), nil
}

// placeholder is what ZenML replaces by the client's environment.
var placeholder = regexp.MustCompile(`\$\{([a-zA-Z0-9_]+)\}`)

// substitute replaces ${NAME} in all strings, keys too, and once more what came
// in by that. A key that changes the second time stays beside the new one, as
// ZenML has it.
func (d document) substitute(n *yaml.Node, env map[string]string) error {
	if err := d.substituteIn(n, env, false); err != nil {
		return err
	}
	return d.substituteIn(n, env, true)
}

func (d document) substituteIn(n *yaml.Node, env map[string]string, again bool) error {
	if n.Kind == yaml.ScalarNode {
		return d.substituteScalar(n, env)
	}
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			if err := d.substituteIn(c, env, again); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range len(n.Content) {
		key := *n.Content[i]
		if err := d.substituteIn(n.Content[i], env, again); err != nil {
			return err
		}
		if i%2 == 0 && again && key.Value != n.Content[i].Value {
			n.Content = append(n.Content, n.Content[i], n.Content[i+1])
			n.Content[i] = &key
		}
	}
	return nil
}

func (d document) substituteScalar(n *yaml.Node, env map[string]string) error {
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
	return nil
}
