package oci

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// A Mirror is another place where images of a registry may be found.
type Mirror struct {
	Registry string // "docker.io"
	Host     string // with its port, if it is not the usual one
	Path     string // goes before the repository; may be empty
}

// ParseMirror reads "REGISTRY=HOST[:PORT][/PATH]".
func ParseMirror(s string) (Mirror, error) {
	registry, place, ok := strings.Cut(s, "=")
	host, path, _ := strings.Cut(place, "/")
	if !ok || registry == "" || host == "" {
		return Mirror{}, fmt.Errorf("%q is not of the form REGISTRY=HOST[/PATH]", s)
	}
	if _, err := name.NewRegistry(host); err != nil {
		return Mirror{}, fmt.Errorf("%q: %w", s, err)
	}
	if climbs(path) {
		return Mirror{}, fmt.Errorf("%q: its path climbs", s)
	}
	return Mirror{Registry: hubName(registry), Host: host, Path: strings.Trim(path, "/")}, nil
}

// hubName gives Docker Hub the one name that we use for it.
func hubName(registry string) string {
	switch registry {
	case name.DefaultRegistry, "registry-1.docker.io", "registry.hub.docker.com":
		return "docker.io"
	}
	return registry
}

// places are where a reference is looked for, the mirrors first.
func (c *Client) places(ref name.Reference) ([]name.Reference, error) {
	var all []name.Reference
	repo := ref.Context()
	for _, m := range c.Mirrors {
		if m.Registry != hubName(repo.RegistryStr()) {
			continue
		}
		s := m.Host + "/"
		if m.Path != "" {
			s += m.Path + "/"
		}
		s += repo.RepositoryStr() + separator(ref) + ref.Identifier()
		r, err := name.ParseReference(s, c.nameOptions(s)...)
		if err != nil {
			return nil, fmt.Errorf("mirror %s: %w", m.Host, err)
		}
		all = append(all, r)
	}
	return append(all, ref), nil
}

// separator stands between repository and identifier.
func separator(ref name.Reference) string {
	if _, ok := ref.(name.Digest); ok {
		return "@"
	}
	return ":"
}

// canonical is a reference's name with its registry.
func canonical(ref name.Reference) string {
	return hubName(ref.Context().RegistryStr()) + "/" + ref.Context().RepositoryStr() + separator(ref) + ref.Identifier()
}
