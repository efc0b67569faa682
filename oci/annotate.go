package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Annotate adds annotations to the image's manifest, over those that it has of
// the same names. Docker's media types have none, so they are an error there.
func (i *Image) Annotate(annotations map[string]string) error {
	if len(annotations) == 0 {
		return nil
	}
	a, ok := i.Image.(*assembled)
	if !ok {
		return errors.New("annotate image: it is none that was built here")
	}
	format, err := formatOf(a)
	if err != nil {
		return err
	}
	if format == formatDocker {
		return errors.New("annotate image: annotations need OCI media types")
	}
	all := maps.Clone(a.parsedManifest.Annotations)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, annotations)
	m := *a.parsedManifest
	m.Annotations = all
	manifest, err := json.Marshal(&m)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	i.Image = v1.Image(&assembled{a.config, manifest, a.parsedConfig, &m, a.layers})
	return nil
}
