package resolve

import (
	"github.com/kanso-build/kanso/resolve/zenml"
)

// Record returns ZenML's record of a build, where the images are called refs,
// in the order of [Result.Images].
func (r Result) Record(refs []string) zenml.Record {
	rec := zenml.Record{
		Images: map[string]zenml.RecordedImage{}, IsLocal: r.Registry == "", ZenML: r.ZenML, Python: r.Python, StackChecksum: r.StackChecksum,
	}
	var texts []string
	for _, k := range r.Keys {
		i := r.Images[k.Image]
		item := zenml.RecordedImage{
			Image: refs[k.Image], Dockerfile: orNull(i.Dockerfile()), Requirements: orNull(i.Requirements), SettingsChecksum: k.Checksum,
			ContainsCode: i.ContainsCode, DownloadsCode: i.DownloadsCode,
		}
		rec.Images[k.Name] = item
		rec.ContainsCode = rec.ContainsCode || i.ContainsCode
		texts = append(texts, k.Name, k.Checksum)
	}
	rec.Checksum = zenml.Checksum(texts...)
	return rec
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// KeysOf are the keys that stand for an image, which is named by its index in
// [Result.Images].
func (r Result) KeysOf(image int) []string {
	keys := []string{}
	for _, k := range r.Keys {
		if k.Image == image {
			keys = append(keys, k.Name)
		}
	}
	return keys
}
