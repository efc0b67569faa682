package zenml

import (
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A Record is what ZenML keeps of the images of a pipeline (a "build"), and
// takes with zenml pipeline run --build FILE (zenml.md §15).
type Record struct {
	// Images by key: "orchestrator", "train.orchestrator".
	Images        map[string]RecordedImage `yaml:"images" json:"images"`
	IsLocal       bool                     `yaml:"is_local" json:"is_local"`
	ContainsCode  bool                     `yaml:"contains_code" json:"contains_code"`
	ZenML         string                   `yaml:"zenml_version" json:"zenml_version"`
	Python        string                   `yaml:"python_version" json:"python_version"`
	Checksum      string                   `yaml:"checksum" json:"checksum"`
	StackChecksum string                   `yaml:"stack_checksum" json:"stack_checksum"`
}

// A RecordedImage is one of a record.
type RecordedImage struct {
	Image            string  `yaml:"image" json:"image"`
	SettingsChecksum string  `yaml:"settings_checksum" json:"settings_checksum"`
	ContainsCode     bool    `yaml:"contains_code" json:"contains_code"`
	DownloadsCode    bool    `yaml:"requires_code_download" json:"requires_code_download"`
	Dockerfile       *string `yaml:"dockerfile" json:"dockerfile"`
	Requirements     *string `yaml:"requirements" json:"requirements"`
}

// YAML is the record as a file.
func (r Record) YAML() (string, error) {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(r); err != nil {
		return "", err
	}
	return b.String(), enc.Close()
}
