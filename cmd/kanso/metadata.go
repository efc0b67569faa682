package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve"
)

// imageInfo is what --metadata-file says of an image.
type imageInfo struct {
	// Keys are what ZenML calls the image in its record of the build; Key is
	// the first of them.
	Key    string             `json:"key"`
	Keys   []string           `json:"keys"`
	Digest string             `json:"digest"`
	Size   int64              `json:"size"` // of configuration and layers, compressed
	Base   baseInfo           `json:"base"`
	Layers []layerInfo        `json:"layers"`
	Steps  []oci.StepReport   `json:"steps"`
	Ran    int                `json:"ran"` // steps that started a process
	Tags   []string           `json:"tags"`
	Times  map[string]float64 `json:"times"` // seconds
}

type baseInfo struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// layerInfo describes a layer; those of the base have no step.
type layerInfo struct {
	Step   string `json:"step,omitempty"`
	Holds  string `json:"holds,omitempty"` // what of that the step made
	Digest string `json:"digest"`
	DiffID string `json:"diff_id"`
	Size   int64  `json:"size"`
	Cached bool   `json:"cached"`
}

// metadata is the content of --metadata-file.
func metadata(r resolve.Result, images []*target, t times) ([]byte, error) {
	infos := []imageInfo{}
	for i, image := range images {
		info := imageInfo{Base: baseInfo{Name: image.Base()}, Layers: []layerInfo{}, Steps: []oci.StepReport{}, Tags: []string{}}
		if !image.Untouched {
			var err error
			if info, err = describeImage(image.built, t); err != nil {
				return nil, fmt.Errorf("image: %w", err)
			}
		}
		info.Key = image.Key
		info.Keys = r.KeysOf(i)
		for _, tag := range image.tags {
			info.Tags = append(info.Tags, tag.String())
		}
		infos = append(infos, info)
	}
	data, err := json.MarshalIndent(map[string]any{"images": infos}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return append(data, '\n'), nil
}

// describeImage says what an image is made of.
func describeImage(img *oci.Image, t times) (imageInfo, error) {
	digest, err := img.Digest()
	if err != nil {
		return imageInfo{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return imageInfo{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return imageInfo{}, err
	}
	info := imageInfo{
		Digest: digest.String(), Size: m.Config.Size, Base: baseInfo{Name: img.Base.Ref, Digest: img.Base.Digest.String()},
		Layers: []layerInfo{}, Steps: img.Steps, Ran: img.Ran, Tags: []string{},
		Times: map[string]float64{
			"resolve": t.resolved.Sub(t.start).Seconds(), "build": t.built.Sub(t.resolved).Seconds(),
			"deliver": t.done.Sub(t.built).Seconds(), "total": t.done.Sub(t.start).Seconds(),
		},
	}
	if img.Base.Ref == oci.Scratch {
		info.Base.Digest = "" // it is no image
	}
	if img.Base.Name != "" {
		info.Base.Name = img.Base.Name
	}
	made := madeBy(img.Steps)
	for i, l := range m.Layers {
		diffID := ""
		if i < len(config.RootFS.DiffIDs) {
			diffID = config.RootFS.DiffIDs[i].String()
		}
		layer := layerInfo{Digest: l.Digest.String(), DiffID: diffID, Size: l.Size, Cached: true}
		for n, s := range made {
			if s.DiffID == diffID {
				layer.Step, layer.Holds, layer.Cached = s.step.Step, s.Name, s.step.Cached
				made = made[n+1:]
				break
			}
		}
		info.Layers = append(info.Layers, layer)
		info.Size += l.Size
	}
	return info, nil
}

// stepLayer is a layer with the step that made it.
type stepLayer struct {
	oci.LayerReport
	step oci.StepReport
}

// madeBy are the layers of steps, bottom first.
func madeBy(steps []oci.StepReport) []stepLayer {
	var all []stepLayer
	for _, s := range steps {
		for _, l := range s.Made() {
			all = append(all, stepLayer{l, s})
		}
	}
	return all
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(file string, data []byte) error {
	return oci.WriteWhole(file, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
