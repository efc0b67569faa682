package zenml

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
)

// TestOldStackConfig compares the files for ZenML 0.12 with those that it
// wrote itself (testdata/zenml/zenconfig). Left out are what an export does
// not tell, uuids and fields that are not set, and what kanso never writes: a
// password.
func TestOldStackConfig(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "zenml", "zenconfig")
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	stack, err := ReadStack("stack.yaml", read("stack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := ReadConfig("config.yaml", read("config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files, dropped, err := OldStackConfig(stack, config, "0.12.0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"metadata_store.password"}, dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	got := map[string]any{}
	for _, f := range files {
		got[f.Path] = parsed(t, []byte(f.Content))
	}
	want := map[string]any{}
	root := filepath.Join(dir, "zenconfig")
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		want[filepath.ToSlash(name)] = parsed(t, read(filepath.Join("zenconfig", name)))
		return err
	})
	if err != nil || len(want) < 5 {
		t.Fatalf("recorded files: %d, %v", len(want), err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-ZenML's +kanso's):\n%s", diff)
	}
}

func parsed(t *testing.T, data []byte) any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "uuid")
	for key, value := range m {
		if value == nil || key == "password" {
			delete(m, key)
		}
	}
	return m
}
