package zenml

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A Config is what is used of the client's own configuration (config.yaml in
// its configuration directory). The tokens and passwords that the file has too
// are not read.
type Config struct {
	StoreType, StoreURL        string
	UserID, Version            string
	ActiveStack, ActiveProject string
	// Analytics is what the user has said of ZenML's analytics, "true" or
	// "false"; empty if nothing.
	Analytics string
}

// ReadConfig reads the client's configuration. Errors are [*Error].
func ReadConfig(file string, data []byte) (Config, error) {
	doc, err := parse(file, data)
	if err != nil || doc.root == nil {
		return Config{}, err
	}
	var c Config
	fields := map[string]*string{
		"user_id": &c.UserID, "version": &c.Version, "active_stack_id": &c.ActiveStack, "active_project_id": &c.ActiveProject,
	}
	pairs, err := doc.mapping(doc.root, "the configuration")
	if err != nil {
		return Config{}, err
	}
	for _, p := range pairs {
		if to := fields[p.key.Value]; to != nil {
			if *to, err = doc.textOrNull(p.value, p.key.Value); err != nil {
				return Config{}, err
			}
		}
		if p.key.Value == "analytics_opt_in" && p.value.Tag == "!!bool" {
			c.Analytics = p.value.Value
		}
		if p.key.Value == "store" {
			if err := c.readStore(doc, p.value); err != nil {
				return Config{}, err
			}
		}
	}
	return c, nil
}

func (c *Config) readStore(doc document, n *yaml.Node) error {
	store, err := doc.mapping(n, "store")
	if err != nil {
		return err
	}
	for _, s := range store {
		switch s.key.Value {
		case "type":
			c.StoreType, err = doc.textOrNull(s.value, "store.type")
		case "url":
			c.StoreURL, err = doc.textOrNull(s.value, "store.url")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// IsServer says whether the client's store is a server.
func (c Config) IsServer() bool {
	return strings.HasPrefix(c.StoreURL, "https://") || strings.HasPrefix(c.StoreURL, "http://")
}

// A ConfigFile is a file of the image's .zenconfig directory.
type ConfigFile struct {
	Path    string // relative to that directory
	Content string
}

// StackConfig returns the files that tell a container of its stack: types,
// names and flavors of components, the registry's address and, if the store is
// a server, how to reach it. Nothing else of the stack or the configuration is
// written, since nothing marks which fields are secret. The path of a local
// database never is: a ZenML that finds one makes a new store.
func StackConfig(s Stack, c Config) ([]ConfigFile, error) {
	var files []ConfigFile
	if s.file != "" {
		text, err := render(s.allowed())
		if err != nil {
			return nil, err
		}
		files = append(files, ConfigFile{"stack.yaml", text})
	}
	if !c.IsServer() {
		return files, nil
	}
	m := newMap().add("version", c.Version).add("user_id", c.UserID).add("active_stack_id", c.ActiveStack).add("active_project_id", c.ActiveProject)
	m.addNode("store", newMap().add("type", c.StoreType).add("url", withoutUser(c.StoreURL)))
	text, err := render(m)
	if err != nil {
		return nil, err
	}
	return append(files, ConfigFile{"config.yaml", text}), nil
}

// allowed is the stack with what is allowed of it, in the form of an export.
func (s Stack) allowed() *mapNode {
	components := newMap()
	byType := map[string]*yaml.Node{}
	for _, c := range s.Components {
		list := byType[c.Type]
		if list == nil {
			list = &yaml.Node{Kind: yaml.SequenceNode}
			byType[c.Type] = list
			components.raw(c.Type, list)
		}
		m := newMap()
		if uri := c.Field("uri"); c.Type == "container_registry" && uri != "" {
			m.addNode("configuration", newMap().add("uri", withoutUser(uri)))
		}
		m.add("flavor", c.Flavor).add("name", c.Name).add("type", c.Type)
		list.Content = append(list.Content, m.node)
	}
	return newMap().addNode("components", components).add("stack_name", s.Name).add("zenml_version", s.Version)
}

// suspicious are names of fields that hold secrets.
var suspicious = regexp.MustCompile(`(?i)(password|passwd|secret|token|credential|api_?key|access_?key|private|certificate|auth)`)

// OldStackConfig returns the tree that ZenML up to 0.13 copies into images:
// the client's configuration with the active profile, and the profile with the
// active stack. Fields that look like secrets are left empty; their names are
// returned, too.
func OldStackConfig(s Stack, c Config, version string) (files []ConfigFile, dropped []string, err error) {
	const profile = "default"
	dir := path.Join("profiles", profile)
	config := newMap().add("activated_profile", profile).raw("analytics_opt_in", &yaml.Node{Kind: yaml.ScalarNode, Value: cmp.Or(c.Analytics, "false")})
	config.addNode("profiles", newMap().addNode(profile, newMap().
		add("active_stack", s.Name).add("active_user", "default").add("name", profile).add("store_type", "local").
		add("store_url", "file:///app/.zenconfig/"+dir)))
	config.add("user_id", c.UserID).add("user_metadata", "").add("version", version)
	stacks, stack, components, runs := newMap(), newMap(), newMap(), newMap().addNode("pipeline_runs", newMap())
	for _, x := range s.Components {
		stack.add(x.Type, x.Name)
		components.addNode(x.Type, newMap().add(x.Name, x.Flavor))
		m := newMap().add("name", x.Name)
		for _, p := range x.config {
			if suspicious.MatchString(p.key.Value) && p.value.Tag != "!!null" {
				dropped = append(dropped, x.Type+"."+p.key.Value)
				m.add(p.key.Value, "")
				continue
			}
			m.raw(p.key.Value, plain(p.value))
		}
		text, err := render(m)
		if err != nil {
			return nil, nil, err
		}
		if strings.ContainsAny(x.Name, "/\\") || x.Name == "" || x.Name == ".." {
			return nil, nil, &Error{File: s.file, Msg: fmt.Sprintf("component %q has a name that is no file name", x.Name)}
		}
		files = append(files, ConfigFile{path.Join(dir, plural(x.Type), x.Name+".yaml"), text})
	}
	stacks.addNode("stacks", newMap().addNode(s.Name, stack)).addNode("stack_components", components)
	for _, name := range []string{"stack_component_flavors", "store_associations", "users", "teams", "projects", "roles", "role_assignments"} {
		stacks.raw(name, &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle})
	}
	stacks.addNode("team_assignments", newMap())
	for name, m := range map[string]*mapNode{"config.yaml": config, path.Join(dir, "stacks.yaml"): stacks, path.Join(dir, "pipeline_runs.yaml"): runs} {
		text, err := render(m)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, ConfigFile{name, text})
	}
	return files, dropped, nil
}

// plural is how the directory of a type of component was called.
func plural(kind string) string {
	if stem, ok := strings.CutSuffix(kind, "y"); ok {
		return stem + "ies"
	}
	return kind + "s"
}

// plain is a value without its comments and with the users of URLs dropped.
func plain(n *yaml.Node) *yaml.Node {
	n = deref(n)
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style}
	if c.Kind == yaml.ScalarNode && strings.Contains(c.Value, "://") {
		c.Value = withoutUser(c.Value)
	}
	for _, child := range n.Content {
		c.Content = append(c.Content, plain(child))
	}
	return c
}

// A mapNode is a YAML mapping that is being made.
type mapNode struct{ node *yaml.Node }

func newMap() *mapNode { return &mapNode{&yaml.Node{Kind: yaml.MappingNode}} }

func (m *mapNode) raw(key string, value *yaml.Node) *mapNode {
	m.node.Content = append(m.node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
	return m
}

// add adds a string; an empty one is null.
func (m *mapNode) add(key, value string) *mapNode {
	n := &yaml.Node{}
	n.SetString(value)
	if value == "" {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	return m.raw(key, n)
}

func (m *mapNode) addNode(key string, value *mapNode) *mapNode { return m.raw(key, value.node) }

// render writes YAML; an empty mapping is "{}".
func render(m *mapNode) (string, error) {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(m.node); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return b.String(), enc.Close()
}
