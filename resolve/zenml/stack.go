package zenml

import (
	"net/url"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A Stack is what zenml stack export wrote, or what it wrote in 0.12, where the
// fields of components are flat.
type Stack struct {
	Name, Version string
	// Components in ZenML's order of types.
	Components []Component
	file       string
}

// A Component is one of a stack. Its configuration may hold secrets; only
// single fields are asked for.
type Component struct {
	Type, Name, Flavor string
	config             []pair
	doc                document
	line               int
}

// componentTypes are in the order in which ZenML asks for requirements.
var componentTypes = []string{ //nolint:gochecknoglobals // a constant table
	"orchestrator", "artifact_store", "container_registry", "step_operator", "feature_store", "model_deployer", "experiment_tracker",
	"alerter", "annotator", "data_validator", "image_builder", "model_registry", "deployer", "log_store", "sandbox",
	"metadata_store", "secrets_manager", // until 0.13
}

// ReadStack reads a stack export. Errors are [*Error].
func ReadStack(file string, data []byte) (Stack, error) {
	doc, err := parse(file, data)
	if err != nil {
		return Stack{}, err
	}
	if doc.root == nil {
		return Stack{}, &Error{File: file, Line: 1, Msg: "the file is empty", Advice: "zenml stack export writes such a file"}
	}
	s := Stack{file: file}
	pairs, err := doc.mapping(doc.root, "the stack")
	if err != nil {
		return Stack{}, err
	}
	found := false
	for _, p := range pairs {
		switch p.key.Value {
		case "stack_name":
			s.Name, err = doc.textOrNull(p.value, "stack_name")
		case "zenml_version":
			s.Version, err = doc.textOrNull(p.value, "zenml_version")
		case "components":
			found = true
			err = s.components(doc, p.value)
		}
		if err != nil {
			return Stack{}, err
		}
	}
	if !found {
		return Stack{}, &Error{File: file, Line: 1, Msg: "there are no components in it", Advice: "zenml stack export writes such a file"}
	}
	return s, nil
}

func (s *Stack) components(doc document, n *yaml.Node) error {
	types, err := doc.mapping(n, "components")
	if err != nil {
		return err
	}
	for _, t := range types {
		kind := t.key.Value
		if !slices.Contains(componentTypes, kind) {
			e := doc.errorf(t.key, "unknown type of component %s", kind)
			if n := nearest(kind, componentTypes); n != "" {
				e.Advice = "did you mean " + n + "?"
			}
			return e
		}
		items := []*yaml.Node{t.value}
		if t.value.Kind == yaml.SequenceNode {
			items = t.value.Content
		}
		for _, item := range items {
			c, err := readComponent(doc, kind, deref(item))
			if err != nil {
				return err
			}
			s.Components = append(s.Components, c)
		}
	}
	slices.SortStableFunc(s.Components, func(a, b Component) int {
		return slices.Index(componentTypes, a.Type) - slices.Index(componentTypes, b.Type)
	})
	return nil
}

func readComponent(doc document, kind string, n *yaml.Node) (Component, error) {
	c := Component{Type: kind, doc: doc, line: n.Line}
	pairs, err := doc.mapping(n, "components."+kind)
	if err != nil {
		return c, err
	}
	nested := slices.IndexFunc(pairs, func(p pair) bool { return p.key.Value == "configuration" })
	for _, p := range pairs {
		switch p.key.Value {
		case "name":
			c.Name, err = doc.textOrNull(p.value, "components."+kind+".name")
		case "flavor":
			c.Flavor, err = doc.textOrNull(p.value, "components."+kind+".flavor")
		case "type":
		case "configuration":
			c.config, err = doc.mapping(p.value, "components."+kind+".configuration")
		default:
			if nested < 0 {
				c.config = append(c.config, p)
			}
		}
		if err != nil {
			return c, err
		}
	}
	if c.Flavor == "" {
		return c, doc.errorf(n, "components.%s: the component has no flavor", kind)
	}
	if kind == "container_registry" {
		return c, c.checkRegistry(n, nested >= 0)
	}
	return c, nil
}

// checkRegistry refuses a registry that images cannot be named after.
func (c Component) checkRegistry(n *yaml.Node, nested bool) error {
	path := "components.container_registry."
	if nested {
		path += "configuration."
	}
	for _, p := range c.config {
		if p.key.Value != "uri" && p.key.Value != "default_repository" {
			continue
		}
		if _, err := c.doc.textOrNull(p.value, path+p.key.Value); err != nil {
			return err
		}
	}
	if c.Field("uri") == "" {
		e := c.doc.errorf(n, "components.container_registry: the registry has no uri")
		e.Advice = "write uri: HOST[/PATH] below configuration"
		return e
	}
	return nil
}

// Field returns a string of the component's configuration.
func (c Component) Field(name string) string {
	for _, p := range c.config {
		if s, ok := scalar(p.value).(string); ok && p.key.Value == name && p.value.Kind == yaml.ScalarNode {
			return s
		}
	}
	return ""
}

// isTrue says whether a field of the configuration is true.
func (c Component) isTrue(name string) bool {
	for _, p := range c.config {
		if b, ok := scalar(p.value).(bool); ok && p.key.Value == name {
			return b
		}
	}
	return false
}

// isFalse says whether a field of the configuration is false.
func (c Component) isFalse(name string) bool {
	for _, p := range c.config {
		if b, ok := scalar(p.value).(bool); ok && p.key.Value == name {
			return !b
		}
	}
	return false
}

// first returns the first component of a type.
func (s Stack) first(kind string) (Component, bool) {
	i := slices.IndexFunc(s.Components, func(c Component) bool { return c.Type == kind })
	if i < 0 {
		return Component{}, false
	}
	return s.Components[i], true
}

// Registry returns the address of the stack's container registry, without
// slashes at its end, and the repository that it prescribes; empty for none.
func (s Stack) Registry() (uri, repository string) {
	c, found := s.first("container_registry")
	if !found {
		return "", ""
	}
	uri = withoutUser(c.Field("uri"))
	_, host, ok := strings.Cut(uri, "://") // names of images have no scheme
	if !ok {
		host = uri
	}
	return strings.TrimRight(host, "/"), c.Field("default_repository")
}

// RunsHere says whether a component starts containers on the machine of the
// client: the orchestrator or, where there are any, the deployer.
func (s Stack) RunsHere() bool {
	return slices.ContainsFunc(s.Components, func(c Component) bool {
		switch c.Type + "/" + c.Flavor {
		case "orchestrator/local_docker", "deployer/docker":
			return true
		case "orchestrator/airflow":
			return !c.isFalse("local")
		case "orchestrator/kubernetes", "deployer/kubernetes":
			return c.isTrue("local")
		}
		return false
	})
}

// Requirements returns what the components need: Python requirements, each
// once, sorted by bytes, and Debian packages in the order of the components.
func (s Stack) Requirements(c Catalogue) (python, apt []string) {
	for _, component := range s.Components {
		if i, ok := c.OfFlavor(component.Type, component.Flavor); ok {
			python = append(python, i.Requirements...)
			apt = append(apt, i.Apt...)
		}
	}
	slices.Sort(python)
	return slices.Compact(python), apt
}

// withoutUser drops user, password, query and fragment of a URL; what is no
// URL stays as it is.
func withoutUser(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		if _, host, ok := strings.Cut(s, "@"); ok { // registry uris have no scheme
			return host
		}
		return s
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Integrations are the names of the integrations that the components belong
// to, each once, sorted.
func (s Stack) Integrations(c Catalogue) []string {
	var names []string
	for _, component := range s.Components {
		if name := c.flavors[component.Type+"/"+component.Flavor]; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ImageBuilder is the flavor of the image builder; "local" if there is none.
func (s Stack) ImageBuilder() string {
	if c, ok := s.first("image_builder"); ok {
		return c.Flavor
	}
	return "local"
}

// HasImageBuilder says whether the stack has an image builder.
func (s Stack) HasImageBuilder() bool {
	_, ok := s.first("image_builder")
	return ok
}
