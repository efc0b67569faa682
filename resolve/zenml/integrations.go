package zenml

import (
	_ "embed" // for the tables
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

//go:embed integrations.json
var integrationsJSON []byte

//go:embed flavors.json
var flavorsJSON []byte

// An Integration is what one of ZenML's integrations needs on Linux.
type Integration struct {
	Requirements []string `json:"requirements"`
	Apt          []string `json:"apt_packages"`
}

// A Catalogue has the integrations of a version of ZenML.
type Catalogue struct {
	// Version is that of the data: the wanted one, or the nearest lower one
	// that there is data for.
	Version      string
	integrations map[string]Integration
	flavors      map[string]string // "type/flavor" → integration
}

// CatalogueOf returns the catalogue for a version of ZenML.
func CatalogueOf(version string) (Catalogue, error) {
	want, err := parseVersion(version)
	if err != nil {
		return Catalogue{}, err
	}
	var all map[string]map[string]Integration
	if err := json.Unmarshal(integrationsJSON, &all); err != nil {
		return Catalogue{}, fmt.Errorf("read the catalogue of integrations: %w", err)
	}
	c := Catalogue{}
	if c.flavors, err = knownFlavors(); err != nil {
		return Catalogue{}, err
	}
	var best [3]int
	for name := range all {
		v, err := parseVersion(name)
		if err != nil {
			return Catalogue{}, err
		}
		lowest := c.Version == "" || less(v, best) && less(want, best)
		if lowest || !less(want, v) && less(best, v) {
			best, c.Version = v, name
		}
	}
	c.integrations = all[c.Version]
	return c, nil
}

// Integration returns an integration by name.
func (c Catalogue) Integration(name string) (Integration, error) {
	i, ok := c.integrations[name]
	if ok {
		return i, nil
	}
	e := &Error{Msg: fmt.Sprintf("integration %q does not exist in ZenML %s", name, c.Version)}
	names := slices.Sorted(maps.Keys(c.integrations))
	if n := nearest(name, names); n != "" {
		e.Advice = fmt.Sprintf("did you mean %q?", n)
	} else {
		e.Advice = fmt.Sprintf("there are %q", names)
	}
	return Integration{}, e
}

// OfFlavor returns the integration that a component's flavor belongs to; a
// built-in or custom flavor belongs to none.
func (c Catalogue) OfFlavor(kind, flavor string) (Integration, bool) {
	i, ok := c.integrations[c.flavors[kind+"/"+flavor]]
	return i, ok
}

// knownFlavors are the integrations of flavors, by "type/flavor".
func knownFlavors() (map[string]string, error) {
	var flavors map[string]string
	if err := json.Unmarshal(flavorsJSON, &flavors); err != nil {
		return nil, fmt.Errorf("read the catalogue of flavors: %w", err)
	}
	return flavors, nil
}
