package zenml_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/resolve/zenml"
)

func newest(t *testing.T) zenml.Facts { return factsOf(t, zenml.Newest) }

func factsOf(t *testing.T, version string) zenml.Facts {
	t.Helper()
	f, err := zenml.FactsOf(version)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSettingsThatAreWrongAreNamedWithTheirLine(t *testing.T) {
	for _, c := range []struct{ text, want, advice string }{
		{"settings:\n  docker:\n    apt_packages: git\n", "run.yaml:3: settings.docker.apt_packages must be a list, not a string", ""},
		{"settings:\n  docker:\n    requirements: {a: 1}\n", "run.yaml:3: settings.docker.requirements must be a list of requirements or the path of a file, not a mapping", ""},
		{"settings:\n  docker:\n    install_stack_requirements: maybe\n", "run.yaml:3: settings.docker.install_stack_requirements must be true or false, not a string", ""},
		{"settings:\n  docker:\n    python_package_installer: conda\n", "run.yaml:3: settings.docker.python_package_installer must be \"pip\" or \"uv\", not a string", ""},
		{"settings:\n  docker:\n    source_files: bogus\n", "run.yaml:3: settings.docker.source_files must be one of", ""},
		{"settings:\n  docker:\n    apt_packages: [git,\n      3]\n", "run.yaml:4: settings.docker.apt_packages[1] must be a string, not a number", "write"},
		{"settings:\n  docker:\n    image_tag: 2024-01-31\n", "run.yaml:3: settings.docker.image_tag must be a string, not a date", "write"},
		{"settings:\n  docker:\n    skip_build: true\n", "run.yaml:3: settings.docker.skip_build: needs a parent_image", "parent_image is"},
		{"settings:\n  docker:\n    build_config:\n      build_options: {shm_size: big}\n", "run.yaml:4: settings.docker.build_config.build_options.shm_size must be a number", ""},
		{"settings:\n  docker:\n    build_config:\n      build_options: {labels: [a]}\n", "run.yaml:4: settings.docker.build_config.build_options.labels must be a mapping", ""},
		{"settings:\n  docker:\n    local_project_install_command: pip install .\n    allow_including_files_in_images: false\n", "run.yaml:3: settings.docker.local_project_install_command: needs", ""},
		{"steps:\n  train:\n    settings:\n      docker: {user: [a]}\n", "run.yaml:4: steps.train.settings.docker.user must be a string, not a list", ""},
		{"settings: {docker: {parent_image: a}}\nsteps:\n  train:\n    settings:\n      docker: {skip_build: on}\n", "run.yaml:5: steps.train.settings.docker.skip_build: needs a parent_image", ""},
		{"steps:\n  train: {step_operator: [a]}\n", "run.yaml:2: steps.train.step_operator must be the name of a step operator", ""},
		{"settings: {dokcer: {}}\n", "run.yaml:1: settings: unknown key dokcer", "did you mean docker?"},
		{"settings:\n  docker:\n    user: ${NOBODY}\n", "run.yaml:3: the environment has no variable NOBODY", ""},
		{"settings:\n  docker: [\n", "run.yaml:", ""},
		{"settings: 3\n", "run.yaml:1: settings must be a mapping, not a number", ""},
	} {
		_, err := zenml.ReadRunConfig("run.yaml", []byte(c.text), nil, newest(t))
		var e *zenml.Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), c.want) || !strings.HasPrefix(e.Hint(), c.advice) {
			t.Errorf("%q: got %v, advice %q; want %q", c.text, err, e, c.want)
		}
	}
}

func TestUnknownKeysFollowTheVersion(t *testing.T) {
	for _, c := range []struct{ version, key, want, advice string }{
		{"0.81.0", "requirments", "run.yaml:3: settings.docker: unknown key requirments", "did you mean requirements?"},
		{"0.81.0", "image_tag", "run.yaml:3: settings.docker: the key image_tag exists from ZenML 0.91.0 on", ""},
		{"0.82.0", "requirments", "", ""},
		{"0.12.0", "image_tag", "", ""},
	} {
		config, err := zenml.ReadRunConfig("run.yaml", []byte("settings:\n  docker:\n    "+c.key+": a\n"), nil, factsOf(t, c.version))
		if c.want != "" {
			var e *zenml.Error
			if !errors.As(err, &e) || err.Error() != c.want || e.Hint() != c.advice {
				t.Errorf("%s in %s: %v, advice %v", c.key, c.version, err, e)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s in %s: %v", c.key, c.version, err)
		}
		if want := "run.yaml:3: settings.docker.requirments: unknown key, ignored (did you mean requirements?)"; c.key == "requirments" &&
			!slices.Contains(config.Warnings, want) {
			t.Errorf("warnings: %q", config.Warnings)
		}
	}
}

func TestStepsInheritWhatTheyDoNotSay(t *testing.T) {
	text := `settings:
  docker:
    user: a
    environment: {A: 1, B: 2}
    apt_packages: [git]
steps:
  same: {settings: {docker: {user: null, environment: {}}}}
  other:
    settings:
      docker: {environment: {B: 3, C: 4}, apt_packages: [curl]}
`
	config, err := zenml.ReadRunConfig("run.yaml", []byte(text), nil, newest(t))
	if err != nil {
		t.Fatal(err)
	}
	if !config.Step("same").Docker.Equal(config.Docker) || !config.Step("unnamed").Docker.Equal(config.Docker) {
		t.Error("a step that says nothing has other settings")
	}
	other := config.Step("other").Docker
	if d := cmp.Diff([]zenml.Var{{Name: "A", Value: "1"}, {Name: "B", Value: "3"}, {Name: "C", Value: "4"}}, other.Environment); d != "" {
		t.Error(d)
	}
	if other.User != "a" || !slices.Equal(other.Apt, []string{"curl"}) {
		t.Errorf("user %q, apt %q", other.User, other.Apt)
	}
}

func TestEmptyConfigurationsSayNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "null\n", "settings: {}\n", "settings:\n", "steps: {train: {enable_cache: false}}\n"} {
		c, err := zenml.ReadRunConfig("run.yaml", []byte(text), nil, newest(t))
		if err != nil || !c.Docker.StackPackages || !c.Docker.Include {
			t.Errorf("%q: %+v, %v", text, c.Docker, err)
		}
	}
}

func TestValuesAreWhatPythonMakesOfThem(t *testing.T) {
	text := `settings:
  docker:
    environment:
      yes_word: yes
      off_word: Off
      number: 017
      hex: 0x1F
      float: 1.50
      big: 1.0e+20
      quoted: 'true'
      empty: ~
      list: [a, 1, "it's", [true, null]]
      map: {k: v}
      text: 1_000
      date: 2024-01-02
      exp: 1e3
      var: pre-${NAME}
`
	c, err := zenml.ReadRunConfig("run.yaml", []byte(text), map[string]string{"NAME": "value"}, newest(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []zenml.Var{
		{Name: "YES_WORD", Value: "True"}, {Name: "OFF_WORD", Value: "False"}, {Name: "NUMBER", Value: "15"}, {Name: "HEX", Value: "31"},
		{Name: "FLOAT", Value: "1.5"}, {Name: "BIG", Value: "1e+20"}, {Name: "QUOTED", Value: "true"}, {Name: "EMPTY", Value: "None"},
		{Name: "LIST", Value: `['a', 1, "it's", [True, None]]`}, {Name: "MAP", Value: "{'k': 'v'}"}, {Name: "TEXT", Value: "1000"},
		{Name: "DATE", Value: "2024-01-02"}, {Name: "EXP", Value: "1e3"}, {Name: "VAR", Value: "pre-value"},
	}
	if d := cmp.Diff(want, c.Docker.Environment); d != "" {
		t.Error(d)
	}
}

func TestVersionsDiffer(t *testing.T) {
	for version, check := range map[string]func(zenml.Facts) bool{
		"0.10.0": func(f zenml.Facts) bool { return f.Base("3.9") == "zenmldocker/zenml:0.10.0" && !f.RequirementFiles },
		"0.12.0": func(f zenml.Facts) bool {
			return f.Base("3.9") == "zenmldocker/zenml:0.12.0-py3.9" && f.StackFiles && !f.KeepsZen
		},
		"0.60.0":    func(f zenml.Facts) bool { return f.Installer == zenml.Pip && !f.UserLast && f.Timeout && !f.StackFiles },
		"0.85.0":    func(f zenml.Facts) bool { return f.Installer == zenml.UV && f.UserLast && f.PacksDockerignore },
		"0.98.0rc1": func(f zenml.Facts) bool { return !f.PacksDockerignore && f.LocalExtra },
	} {
		f, err := zenml.FactsOf(version)
		if err != nil || !check(f) {
			t.Errorf("%s: %+v, %v", version, f, err)
		}
	}
	for _, version := range []string{"", "latest", "1.x.0", "0.98"} {
		if _, err := zenml.FactsOf(version); (err == nil) != (version == "0.98") {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestTheNearestLowerCatalogueIsTaken(t *testing.T) {
	for version, want := range map[string]string{"0.98.0": "0.98.0", "0.99.1": "0.98.0", "0.93.5": "0.93.0", "0.60.0": "0.13.2", "0.10.0": "0.12.0"} {
		c, err := zenml.CatalogueOf(version)
		if err != nil || c.Version != want {
			t.Errorf("%s: data of %s, %v; want %s", version, c.Version, err, want)
		}
	}
	c, err := zenml.CatalogueOf("0.98.0")
	if err != nil {
		t.Fatal(err)
	}
	var e *zenml.Error
	if _, err := c.Integration("sklern"); !errors.As(err, &e) || !strings.Contains(e.Hint(), `"sklearn"`) {
		t.Errorf("got %v", err)
	}
}

func TestStacksOfEveryAgeAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"lists":  "components:\n  orchestrator:\n  - {flavor: kubernetes, name: k, type: orchestrator, configuration: {}}\n  artifact_store:\n  - {flavor: s3, name: s, configuration: {path: x}}\nstack_name: p\nzenml_version: 0.98.0\n",
		"single": "components:\n  orchestrator: {flavor: kubernetes, name: k, configuration: {}}\n  artifact_store: {flavor: s3, name: s, configuration: {path: x}}\nstack_name: p\nzenml_version: 0.93.0\n",
		"flat":   "components:\n  orchestrator: {flavor: kubernetes, name: k}\n  artifact_store: {flavor: s3, name: s, path: x}\nstack_name: p\nzenml_version: 0.12.0\n",
	} {
		s, err := zenml.ReadStack("stack.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c, err := zenml.CatalogueOf(s.Version)
		if err != nil {
			t.Fatal(err)
		}
		python, _ := s.Requirements(c)
		if len(s.Components) != 2 || s.Components[0].Type != "orchestrator" || s.Components[1].Field("path") != "x" || len(python) == 0 {
			t.Errorf("%s: %+v needs %q", name, s, python)
		}
	}
	for _, text := range []string{"", "a: 1\n", "components: {orchestra: {flavor: x}}\n", "components: {orchestrator: {name: x}}\n"} {
		if _, err := zenml.ReadStack("stack.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "stack.yaml:") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
