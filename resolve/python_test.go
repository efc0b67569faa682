package resolve

import (
	"os"
	"path/filepath"
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

// notes is a memory, and counts what it was asked to keep.
type notes struct {
	texts map[string]string
	kept  int
}

func (n *notes) Recall(key string) (string, bool) { text, ok := n.texts[key]; return text, ok }
func (n *notes) Keep(key, text string)            { n.texts[key] = text; n.kept++ }

// TestSettingsInPythonAreLookedForWhenSourcesChange has a file that gets settings,
// and loses them.
func TestSettingsInPythonAreLookedForWhenSourcesChange(t *testing.T) {
	root, n := t.TempDir(), &notes{texts: map[string]string{}}
	look := func(text string) string {
		if err := os.WriteFile(filepath.Join(root, "run.py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := pythonSourcesOf(root, []string{"run.py", "run.yaml"})
		return Options{Memory: n}.remembered("x", s.sum(), s.settings)
	}
	for i, c := range []struct {
		text string
		kept int
		warn bool
	}{
		{"import zenml", 1, false}, {"import zenml\nsettings = {}", 2, true}, {"import zenml\n", 3, false},
	} {
		if got := look(c.text); (got != "") != c.warn || n.kept != c.kept {
			t.Errorf("%d: warns %q, kept %d times", i, got, n.kept)
		}
		s := pythonSourcesOf(root, []string{"run.py"})
		again := Options{Memory: n}.remembered("x", s.sum(), func() string { t.Errorf("%d: looked again", i); return "" })
		if (again != "") != c.warn {
			t.Errorf("%d: remembered %q", i, again)
		}
	}
}
