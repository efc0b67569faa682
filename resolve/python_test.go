package resolve

import (
	"regexp"
	"testing"
)

// TestSettingsInPythonAreFound compares the search with a regular expression
// that says the same.
func TestSettingsInPythonAreFound(t *testing.T) {
	want := regexp.MustCompile(`\bDockerSettings\(|\bsettings\s*=\s*[{\w]`)
	for _, text := range []string{
		"", "ettings", "settings", "settings=", "settings={", "settings = docker", "settings\n=\n{", "settings == 1", "settings = (1)",
		"my_settings = {", "my settings = {", "x.settings=a", "DockerSettings(", "zenml.DockerSettings(x)", "MyDockerSettings(", "DockerSettings (",
		"Settings(", "S.ettings(", "settings settings = 1", "ettings = 1", "a settingsettings=1 settings=_", "DockerSettings\nsettings\t=\t'x'\nDockerSettings(",
	} {
		at := -1
		if m := want.FindStringIndex(text); m != nil {
			at = m[0]
		}
		if got := settingsInPython([]byte(text)); got != at {
			t.Errorf("%q: found at %d, want %d", text, got, at)
		}
	}
}
