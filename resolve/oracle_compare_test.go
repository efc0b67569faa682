package resolve_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve"
	"github.com/kanso-build/kanso/resolve/zenml"
)

// aBuild is one of expected/builds.json.
type aBuild struct {
	Name    string         `json:"image_name"`
	Builder string         `json:"image_builder_flavor"`
	Push    bool           `json:"push"`
	Options map[string]any `json:"build_options"`
	CLI     []string       `json:"build_options_as_docker_cli"`
	Dir     string         `json:"dir"`
}

func compareBuilds(t *testing.T, dir string, got outcome) {
	t.Helper()
	var want, have []aBuild
	readJSON(t, filepath.Join(dir, "expected/builds.json"), &want)
	var builds []resolve.Build
	for _, i := range got.Images {
		builds = append(builds, i.Builds...)
	}
	for n, b := range builds {
		have = append(have, aBuild{b.Name, b.Builder, b.Push, b.Options, b.CLI, fmt.Sprintf("b%02d", n)})
	}
	if d := cmp.Diff(asJSON(t, want), asJSON(t, have)); d != "" && len(want)+len(have) > 0 {
		t.Errorf("builds (-want +got):\n%s", d)
		return
	}
	compared := 0
	for n, b := range builds {
		at := filepath.Join(dir, "expected", want[n].Dir)
		compared += compareFiles(t, filepath.Join(at, "files"), b)
		compared += compareContext(t, filepath.Join(at, "context.json"), b)
	}
	t.Logf("compared %d builds with their options, and %d files and members of contexts", len(builds), compared)
}

// compareFiles compares what is generated, byte for byte.
func compareFiles(t *testing.T, dir string, b resolve.Build) int {
	t.Helper()
	want := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want[e.Name()] = string(data)
	}
	if d := cmp.Diff(want, b.Files); d != "" {
		t.Errorf("generated files (-want +got):\n%s", d)
	}
	return len(want)
}

func compareContext(t *testing.T, file string, b resolve.Build) int {
	t.Helper()
	var want []resolve.Member
	readJSON(t, file, &want)
	got, err := b.Members()
	if err != nil {
		t.Fatal(err)
	}
	for i := range got { // its content is ZenML's own, and never compared
		if got[i].Path == ".zen/config.yaml" {
			got[i].Size, got[i].SHA256 = nil, ""
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("build context (-want +got):\n%s", d)
	}
	return len(want)
}

// aRecord is expected/record.json.
type aRecord struct {
	Images        map[string]map[string]any `json:"images"`
	IsLocal       bool                      `json:"is_local"`
	ContainsCode  bool                      `json:"contains_code"`
	ZenML         string                    `json:"zenml_version"`
	Python        string                    `json:"python_version"`
	Checksum      string                    `json:"checksum"`
	StackChecksum string                    `json:"stack_checksum"`
}

func compareRecord(t *testing.T, dir string, got outcome, checksums bool) {
	t.Helper()
	var want *aRecord
	readJSON(t, filepath.Join(dir, "expected/record.json"), &want)
	if want == nil {
		if len(got.Keys) > 0 {
			t.Errorf("there are images for %v, and ZenML makes none", got.Keys)
		}
		t.Log("compared that there is no record")
		return
	}
	refs := make([]string, len(got.Images))
	for i := range refs {
		refs[i] = fmt.Sprint("image ", i)
	}
	data, err := json.Marshal(got.Record(refs))
	if err != nil {
		t.Fatal(err)
	}
	var have aRecord
	if err := json.Unmarshal(data, &have); err != nil {
		t.Fatal(err)
	}
	sameImages(t, *want, have)
	for _, r := range []*aRecord{want, &have} {
		for _, i := range r.Images {
			delete(i, "image")
			if !checksums {
				delete(i, "settings_checksum")
			}
		}
		if !checksums {
			r.Checksum = ""
		}
	}
	if d := cmp.Diff(*want, have); d != "" {
		t.Errorf("record (-want +got):\n%s", d)
	}
	t.Logf("compared a record of %d keys", len(want.Images))
}

// sameImages compares which keys share an image.
func sameImages(t *testing.T, want, got aRecord) {
	t.Helper()
	for a := range want.Images {
		for b := range want.Images {
			if got.Images[a] == nil || got.Images[b] == nil {
				continue // reported with the record
			}
			wants := want.Images[a]["image"] == want.Images[b]["image"] && want.Images[a]["settings_checksum"] == want.Images[b]["settings_checksum"]
			if shares := got.Images[a]["image"] == got.Images[b]["image"]; shares != wants {
				t.Errorf("%s and %s share an image: %v, want %v", a, b, shares, wants)
			}
		}
	}
}

// A message is one of ZenML's, and ours for it: the beginning of what ZenML
// says, and a part of what kanso says; empty if kanso has nothing to say, for
// the reason that stands beside it.
type message struct{ ZenML, Ours, Reason string }

func messages(t *testing.T) []message {
	t.Helper()
	var list []message
	readJSON(t, "../testdata/zenml/messages.json", &list)
	return list
}

func compareMessages(t *testing.T, dir string, c oracle, got outcome) {
	t.Helper()
	table := messages(t)
	var said []string
	readJSON(t, filepath.Join(dir, "expected/warnings.json"), &said)
	if c.Error != nil {
		said = append(said, c.Error.Message)
		for _, cause := range c.Error.Causes {
			said = append(said, cause.Message)
		}
		if got.err == nil {
			t.Fatalf("ZenML refuses it: %s", c.Error.Message)
		}
	} else if got.err != nil {
		t.Fatal(got.err)
	}
	want := map[string]bool{}
	for _, s := range said {
		i := slices.IndexFunc(table, func(m message) bool { return m.ZenML != "" && strings.Contains(s, m.ZenML) })
		if i < 0 {
			t.Errorf("ZenML says what stands in no table: %s", s)
			continue
		}
		if table[i].Ours != "" {
			want[table[i].Ours] = true
		}
	}
	ours := slices.Clone(got.Warnings)
	if got.err != nil {
		ours = []string{got.err.Error()}
		var e *zenml.Error
		if !errors.As(got.err, &e) || e.File == "" && !strings.Contains(e.Msg, "settings.docker") {
			t.Errorf("the error names no place: %v", got.err)
		}
	}
	have := map[string]bool{}
	for _, s := range ours {
		i := slices.IndexFunc(table, func(m message) bool { return m.Ours != "" && strings.Contains(s, m.Ours) })
		if i < 0 {
			t.Errorf("kanso says what stands in no table: %s", s)
			continue
		}
		if table[i].ZenML != "" {
			have[table[i].Ours] = true
		}
	}
	if got.err != nil { // warnings before an error are lost in it
		for w := range want {
			if !have[w] && !slices.ContainsFunc(table, func(m message) bool { return m.Ours == w && m.Reason == "error" }) {
				delete(want, w)
			}
		}
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
	t.Logf("compared %d messages", len(said))
}
