package zenml_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// shapes are the values that ZenML 0.98 itself takes and refuses, by key.
func shapes(t *testing.T) map[string]struct{ Takes, Refuses []string } {
	t.Helper()
	data, err := os.ReadFile("../../testdata/zenml/shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct{ Takes, Refuses []string }
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("%d keys", len(all))
	}
	return all
}

// settingsWith is a run configuration that gives a key a value, in line 4 at
// the earliest, with what the value needs beside it.
func settingsWith(under, key, value string) string {
	text := under + "settings:\n" + indent(under) + "  docker:\n"
	if key == "skip_build" {
		text += indent(under) + "    parent_image: a\n"
	}
	depth := "    "
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		text += indent(under) + depth + part + ":\n"
		depth += "  "
	}
	return text + indent(under) + depth + parts[len(parts)-1] + ": " + value + "\n"
}

// indent is that of what stands under the settings of a step.
func indent(under string) string {
	return strings.Repeat(" ", len(under)-len(strings.TrimRight(under, " ")))
}

func TestEveryKeyTakesTheValuesThatZenMLTakes(t *testing.T) {
	for key, values := range shapes(t) {
		for _, v := range values.Takes {
			if _, err := zenml.ReadRunConfig("run.yaml", []byte(settingsWith("", key, v)), nil, newest(t)); err != nil {
				t.Errorf("%s: %s: %v", key, v, err)
			}
		}
	}
}

func TestEveryKeyRefusesWhatZenMLRefuses(t *testing.T) {
	const step = "steps:\n  train:\n    "
	for key, values := range shapes(t) {
		for _, v := range values.Refuses {
			for _, under := range []string{"", step} {
				text := settingsWith(under, key, v)
				_, err := zenml.ReadRunConfig("run.yaml", []byte(text), nil, newest(t))
				if err == nil && under != "" && v == "null" {
					continue // nulls of a step change nothing
				}
				path := "settings.docker." + strings.NewReplacer("buildargs", "build_args", "shmsize", "shm_size").Replace(key) // as ZenML renames them
				if under != "" {
					path = "steps.train." + path
				}
				var e *zenml.Error
				switch {
				case err == nil:
					t.Errorf("%s%s: %s is taken", under, key, v)
				case !errors.As(err, &e) || !strings.Contains(e.Msg, path):
					t.Errorf("%s: %s: %v does not name %s", key, v, err, path)
				case e.Line != strings.Count(text, "\n") || e.File != "run.yaml":
					t.Errorf("%s: %s: %v is not about line %d", key, v, err, strings.Count(text, "\n"))
				case !strings.Contains(e.Msg, "must be"):
					t.Errorf("%s: %s: %v does not say what was expected", key, v, err)
				}
			}
		}
	}
}

// misspelt are ways in which a word is written wrong.
func misspelt(word string) []string {
	n := len(word) / 2
	return []string{word[:n] + word[n+1:], word[:n] + word[n:n+1] + word[n:], word[:n-1] + word[n:n+1] + word[n-1:n] + word[n+1:], word + "s", strings.ReplaceAll(word, "_", "-")}
}

func TestEveryMisspeltKeyIsToldTheNearestName(t *testing.T) {
	old, err := zenml.FactsOf("0.81.0")
	if err != nil {
		t.Fatal(err)
	}
	all := shapes(t)
	for key := range all {
		name := key[strings.LastIndex(key, ".")+1:]
		if strings.Count(key, ".") > 1 {
			continue // options may have any name
		}
		for _, wrong := range misspelt(name) {
			written := strings.TrimSuffix(key, name) + wrong
			if _, known := all[written]; known || wrong == name {
				continue
			}
			text := settingsWith("", written, "x")
			c, err := zenml.ReadRunConfig("run.yaml", []byte(text), nil, newest(t))
			want := fmt.Sprintf("run.yaml:%d: settings.docker.%s: unknown key, ignored (did you mean %s?)", strings.Count(text, "\n"), written, name)
			if err != nil || !slices.Contains(c.Warnings, want) {
				t.Errorf("%s: %q, %v; want %s", written, c.Warnings, err, want)
			}
			if strings.Contains(key, ".") {
				continue // ignored in all versions
			}
			var e *zenml.Error
			_, err = zenml.ReadRunConfig("run.yaml", []byte(text), nil, old)
			if !errors.As(err, &e) || e.Line == 0 || !strings.Contains(e.Advice, name) && !strings.Contains(e.Msg, "exists from") {
				t.Errorf("%s in 0.81: %v, advice %v", written, err, e)
			}
		}
	}
}

// wrongStacks are parts of stack exports that are no such, with what is said.
var wrongStacks = []struct{ text, want, advice string }{
	{"", "stack.yaml:1: the file is empty", "zenml stack export"},
	{"a\n", "stack.yaml:1: the stack must be a mapping, not a string", "write"},
	{"[a]\n", "stack.yaml:1: the stack must be a mapping, not a list", "write"},
	{"stack_name: a\n", "stack.yaml:1: there are no components in it", "zenml stack export"},
	{"stack_name: [a]\ncomponents: {}\n", "stack.yaml:1: stack_name must be a string, not a list", "write"},
	{"zenml_version: 0.98\ncomponents: {}\n", "stack.yaml:1: zenml_version must be a string, not a number", "write"},
	{"components: a\n", "stack.yaml:1: components must be a mapping, not a string", "write"},
	{"components: 3\n", "stack.yaml:1: components must be a mapping, not a number", "write"},
	{"components:\n  orchestratr: {flavor: local, name: a}\n", "stack.yaml:2: unknown type of component orchestratr", "did you mean orchestrator?"},
	{"components:\n  orchestrator: local\n", "stack.yaml:2: components.orchestrator must be a mapping, not a string", "write"},
	{"components:\n  orchestrator:\n  - local\n", "stack.yaml:3: components.orchestrator must be a mapping, not a string", "write"},
	{"components:\n  orchestrator:\n  - [local]\n", "stack.yaml:3: components.orchestrator must be a mapping, not a list", "write"},
	{"components:\n  orchestrator:\n  - flavor: [local]\n", "stack.yaml:3: components.orchestrator.flavor must be a string, not a list", "write"},
	{"components:\n  orchestrator:\n  - flavor: 3\n", "stack.yaml:3: components.orchestrator.flavor must be a string, not a number", "write"},
	{"components:\n  orchestrator:\n  - name: a\n", "stack.yaml:3: components.orchestrator: the component has no flavor", ""},
	{"components:\n  orchestrator:\n  - flavor: local\n    name: {a: b}\n", "stack.yaml:4: components.orchestrator.name must be a string, not a mapping", "write"},
	{"components:\n  orchestrator:\n  - flavor: local\n    configuration: [a]\n", "stack.yaml:4: components.orchestrator.configuration must be a mapping, not a list", "write"},
	{"components:\n  orchestrator:\n  - flavor: local\n    configuration: a\n", "stack.yaml:4: components.orchestrator.configuration must be a mapping, not a string", "write"},
	{"components:\n  container_registry:\n  - flavor: gcp\n    configuration: {uri: 3}\n", "stack.yaml:4: components.container_registry.configuration.uri must be a string, not a number", "write"},
	{"components:\n  container_registry:\n  - flavor: gcp\n    configuration: {uri: gcr.io, default_repository: [a]}\n", "stack.yaml:4: components.container_registry.configuration.default_repository must be a string, not a list", "write"},
	{"components:\n  container_registry:\n  - flavor: gcp\n    configuration: {}\n", "stack.yaml:3: components.container_registry: the registry has no uri", "write"},
	{"components:\n\torchestrator: a\n", "stack.yaml:2: ", "the file is not valid YAML"},
}

func TestStackExportsThatAreWrongAreNamedWithTheirLine(t *testing.T) {
	for _, c := range wrongStacks {
		_, err := zenml.ReadStack("stack.yaml", []byte(c.text))
		var e *zenml.Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), c.want) || !strings.HasPrefix(e.Hint(), c.advice) {
			t.Errorf("%q: got %v, advice %v; want %q", c.text, err, e, c.want)
		}
	}
}

func TestMisspeltIntegrationsAreToldTheNearestName(t *testing.T) {
	c, err := zenml.CatalogueOf(zenml.Newest)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mlflow", "sklearn", "kubernetes", "huggingface", "great_expectations", "pytorch_lightning"} {
		for _, wrong := range misspelt(name) {
			if wrong == name {
				continue
			}
			_, err := c.Integration(wrong)
			var e *zenml.Error
			if !errors.As(err, &e) || e.Advice != fmt.Sprintf("did you mean %q?", name) {
				t.Errorf("%s: %v, advice %v", wrong, err, e)
			}
		}
	}
}

// FuzzRunConfig shows that no run configuration makes the reader panic.
func FuzzRunConfig(f *testing.F) {
	f.Add("settings: {docker: {environment: {a: [1, {b: c}]}, requirements: [a]}}\nsteps: {a: {settings: {docker: {user: x}}}}\n")
	f.Add("a: &a {<<: *a}\n")
	f.Add("settings: {docker: {<<: [{a: 1}, 3], build_config: {build_options: {labels: {1: 2}}}}}\n")
	facts, err := zenml.FactsOf(zenml.Newest)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := zenml.ReadRunConfig("run.yaml", []byte(text), nil, facts); err != nil {
			var e *zenml.Error
			if !errors.As(err, &e) {
				t.Errorf("%q: %v names no file", text, err)
			}
		}
		_, _ = zenml.ReadStack("stack.yaml", []byte(text)) // only that it returns
	})
}

func TestAliasesThatLeadNowhereAreRefused(t *testing.T) {
	laughs := "a0: &a0 [x, x]\n"
	for i := range 30 {
		laughs += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for text, want := range map[string]string{
		"extra: &a {b: *a}\n":      "run.yaml:1: the anchor a contains itself",
		"extra: &a\n  <<: *a\n":    "run.yaml:1: the anchor a contains itself",
		"extra:\n- &a [[*a]]\n":    "run.yaml:2: the anchor a contains itself",
		laughs + "extra: [*a30]\n": "run.yaml:",
	} {
		if _, err := zenml.ReadRunConfig("run.yaml", []byte(text), nil, newest(t)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v; want %s", text, err, want)
		}
	}
}
