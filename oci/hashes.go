package oci

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/python"
	"github.com/kanso-build/kanso/resolve/plan"
)

// hashesKind is the kind of value under which the store keeps the hashes of what
// an Install installed, by the step's key.
const hashesKind = "hashes-1"

// noteHashes keeps the hashes that an installer told. That it cannot is no error.
func (b *Builder) noteHashes(e earlierInstall) {
	data, err := json.Marshal(e.Pins)
	if err == nil {
		err = b.Store.PutValue(hashesKind, e.Key, data)
	}
	b.noteError("note hashes of what was installed", err)
}

// addHashes adds to an inventory what archives the packages were installed from:
// where requirements have hashes it is one of those, and pip and uv may have told
// this machine, pip the one, uv those of which it was one.
func (b *Builder) addHashes(i *Inventory, p plan.Plan, steps []StepReport) {
	known := hashesIn(p)
	for _, s := range steps {
		if s.Kind != (plan.Install{}).Kind() || s.Key == "" {
			continue
		}
		var pins []pin
		if data, ok, err := b.Store.Value(hashesKind, s.Key); err == nil && ok && json.Unmarshal(data, &pins) == nil {
			for _, p := range pins {
				known[p.String()] = p
			}
		}
	}
	for n, p := range i.Packages {
		if found, ok := known[p.Name+"=="+p.Version]; ok && p.Type == "pypi" {
			i.Packages[n] = p.withHashes(found.Hashes)
		}
	}
}

// The parts of a requirement that has hashes.
var (
	pinnedName = regexp.MustCompile(`^\s*([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*==\s*([^\s;]+)`)
	hashOption = regexp.MustCompile(`--hash[= ](sha256:[0-9a-f]{64})\b`)
)

// hashesIn are the hashes that stand in the requirements of a plan.
func hashesIn(p plan.Plan) map[string]pin {
	known := map[string]pin{}
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			i, ok := step.(plan.Install)
			if !ok {
				continue
			}
			joined := strings.NewReplacer("\\\r\n", " ", "\\\n", " ").Replace(i.Requirements)
			for line := range strings.Lines(joined) {
				if found := hashedIn(line); len(found.Hashes) > 0 {
					known[found.String()] = found
				}
			}
		}
	}
	return known
}

// hashedIn reads a requirement that is pinned and has hashes; others have none.
func hashedIn(line string) pin {
	m := pinnedName.FindStringSubmatch(line)
	if m == nil {
		return pin{}
	}
	found := pin{Name: python.Normalized(m[1]), Version: m[2]}
	for _, h := range hashOption.FindAllStringSubmatch(line, -1) {
		found.Hashes = append(found.Hashes, h[1])
	}
	return found
}

// withHashes is the package with the hashes that its archive may have.
func (p Package) withHashes(hashes []string) Package {
	hashes = slices.DeleteFunc(slices.Clone(hashes), func(h string) bool { return !digestName.MatchString(h) })
	switch {
	case p.Archive != "":
	case len(hashes) == 1:
		p.Archive = strings.TrimPrefix(hashes[0], "sha256:")
	default:
		p.hashes = hashes
	}
	return p
}
