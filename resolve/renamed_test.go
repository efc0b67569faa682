package resolve_test

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// renamer changes the names in a case that are the user's own, in what is put
// in and in what is expected.
type renamer struct {
	env   map[string]string
	texts []string   // old, new, old, new, …
	files []string   // of the project, with their directories
	lists [][]string // lists of requirements, as they were

	places []*yaml.Node // where their names begin
}

// otherRequirement is a requirement with another name.
func otherRequirement(s string) string {
	if s == "" || strings.HasPrefix(s, "-") {
		return s
	}
	return "other-" + s
}

func otherRequirements(list []string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = otherRequirement(out[i])
	}
	return out
}

// requirements finds lists of requirements in a run configuration, and where
// their names begin.
func (r *renamer) requirements(n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value != "requirements" || value.Kind != yaml.SequenceNode {
			continue
		}
		if slices.ContainsFunc(value.Content, func(item *yaml.Node) bool { return slices.Contains(r.files, item.Value) }) {
			continue // ZenML packs the file
		}
		var list []string
		for _, item := range value.Content {
			value := func(name string) string { return r.env[name] }
			list = append(list, os.Expand(os.Expand(item.Value, value), value)) // as ZenML does, twice
			if otherRequirement(item.Value) != item.Value && item.Tag == "!!str" {
				r.places = append(r.places, item)
			}
		}
		r.lists = append(r.lists, list)
	}
	for _, c := range n.Content {
		r.requirements(c)
	}
}

// inText changes the names where they stand.
func (r *renamer) inText(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.SortFunc(r.places, func(a, b *yaml.Node) int { return b.Column - a.Column })
	for _, item := range r.places {
		line := []rune(lines[item.Line-1])
		at := item.Column - 1
		if item.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			at++
		}
		lines[item.Line-1] = string(line[:at]) + "other-" + string(line[at:])
	}
	return strings.Join(lines, "")
}

// recorded changes requirements where they stand in a record, after others.
func (r *renamer) recorded(text string) string {
	for _, list := range r.lists {
		old := strings.Join(list, "\n")
		if rest, ok := strings.CutSuffix(text, old); ok && (rest == "" || strings.HasSuffix(rest, "\n")) {
			return rest + strings.Join(otherRequirements(list), "\n")
		}
	}
	return text
}

// renamed copies a case with other names; changed says whether its settings
// became others.
func renamed(t *testing.T, dir string, c oracle) (to string, other oracle, changed bool) {
	t.Helper()
	r := &renamer{env: c.Env}
	data, err := os.ReadFile(filepath.Join(dir, "run.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range c.Files {
		r.files = append(r.files, f.Path, path.Dir(f.Path))
		if base := path.Base(f.Path); f.Type == "file" && slices.Contains(strings.Fields(string(data)), f.Path) && !packed(t, dir, base) {
			c.Files[i].Path = path.Join(path.Dir(f.Path), "other-"+base)
			r.texts = append(r.texts, f.Path, c.Files[i].Path)
			changed = true
		}
	}
	paths := strings.NewReplacer(r.texts...)
	if c.Name == "my_pipeline" {
		c.Name = "Other.flow"
		r.texts = append(r.texts, "my_pipeline", c.Name)
	}
	all := strings.NewReplacer(r.texts...)
	var doc yaml.Node
	run := paths.Replace(string(data))
	if err := yaml.Unmarshal([]byte(run), &doc); err == nil { // one that is wrong stays so
		r.requirements(&doc)
		run = r.inText(run)
	}
	to = t.TempDir()
	err = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		rel, relErr := filepath.Rel(dir, p)
		if err != nil || relErr != nil || e.IsDir() {
			return errors.Join(err, relErr)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		text := string(data)
		switch {
		case rel == "run.yaml":
			text = run
		case e.Name() == ".zenml_user_requirements":
			text = r.recorded(text)
		case e.Name() == "record.json":
			text = r.record(t, all.Replace(text))
		case strings.HasPrefix(rel, "expected"):
			text = all.Replace(text)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), []byte(text), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to, c, changed || len(r.places) > 0
}

// record changes requirements in record.json.
func (r *renamer) record(t *testing.T, text string) string {
	t.Helper()
	var rec map[string]any
	if err := json.Unmarshal([]byte(text), &rec); err != nil {
		t.Fatal(err)
	}
	images, ok := rec["images"].(map[string]any)
	if !ok {
		return text
	}
	for _, i := range images {
		if m, ok := i.(map[string]any); ok {
			if s, ok := m["requirements"].(string); ok {
				m["requirements"] = r.recorded(s)
			}
		}
	}
	data, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// packed says whether a context has a file of that name.
func packed(t *testing.T, dir, base string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "expected/b*/context.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || strings.Contains(string(data), base+`"`) {
			return true
		}
	}
	return false
}

func TestEveryCaseFollowsItsNames(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c oracle
			readJSON(t, filepath.Join(dir, "case.json"), &c)
			to, c, changed := renamed(t, dir, c)
			got := c.run(t, to)
			compareMessages(t, to, c, got)
			if c.Error != nil {
				return
			}
			compareBuilds(t, to, got)
			compareRecord(t, to, got, false)
			var before aRecord
			readJSON(t, filepath.Join(dir, "expected/record.json"), &before)
			for _, k := range got.Keys {
				if changed && k.Checksum == before.Images[k.Name]["settings_checksum"] && len(got.Keys) == 1 {
					t.Errorf("%s: the checksum is the same after a change of the settings", k.Name)
				}
			}
		})
	}
}
