package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve"
)

// exported is one of builds.json: a build that ZenML would have asked Docker
// for.
type exported struct {
	Name    string         `json:"image_name"`
	Builder string         `json:"image_builder_flavor"`
	Push    bool           `json:"push"`
	Options map[string]any `json:"build_options"`
	CLI     []string       `json:"build_options_as_docker_cli"`
	Dir     string         `json:"dir"`
}

// export writes what ZenML would have handed to Docker into a directory, which
// is there whole or not at all: builds.json, record.json and, for each build,
// the generated files, a list of the context's members, and the context as a
// tar for docker build.
func export(ctx context.Context, r resolve.Result, dir string) (err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("--dockerfile: %s is not empty", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--dockerfile: %w", err)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("--dockerfile: %w", err)
	}
	temp, err := os.MkdirTemp(parent, ".kanso-")
	if err != nil {
		return fmt.Errorf("--dockerfile: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if err := exportAll(ctx, r, filepath.Join(temp, "x")); err != nil {
		return fmt.Errorf("--dockerfile: %w", err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--dockerfile: %w", err)
	}
	return os.Rename(filepath.Join(temp, "x"), dir)
}

func exportAll(ctx context.Context, r resolve.Result, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	builds := []exported{}
	for _, i := range r.Images {
		for _, b := range i.Builds {
			e := exported{b.Name, b.Builder, b.Push, b.Options, b.CLI, fmt.Sprintf("b%02d", len(builds))}
			if err := exportBuild(ctx, b, filepath.Join(dir, e.Dir)); err != nil {
				return err
			}
			builds = append(builds, e)
		}
	}
	refs := make([]string, len(r.Images))
	for i, image := range r.Images {
		refs[i] = image.Key
		if image.Untouched {
			refs[i] = image.Base()
		} else if len(image.Names) > 0 {
			refs[i] = image.Names[0]
		}
	}
	var record any // null if there is no image
	if len(r.Keys) > 0 {
		record = r.Record(refs)
	}
	return errors.Join(writeJSON(filepath.Join(dir, "builds.json"), builds), writeJSON(filepath.Join(dir, "record.json"), record))
}

func exportBuild(ctx context.Context, b resolve.Build, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "files"), 0o755); err != nil {
		return err
	}
	for name, content := range b.Files {
		if err := os.WriteFile(filepath.Join(dir, "files", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	members, err := b.Members()
	if err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, "context.json"), members); err != nil {
		return err
	}
	tar, err := os.Create(filepath.Join(dir, "context.tar"))
	if err != nil {
		return err
	}
	err = layers.Write(ctx, tar, func(yield func(layers.File, error) bool) {
		for _, m := range members {
			if f, err := contextMember(b, m); !yield(f, err) {
				return
			}
		}
	})
	return errors.Join(err, tar.Close())
}

// contextMember is a member of a context as an entry of a tar. Files have the
// modes and times that they have on disk, and belong to root.
func contextMember(b resolve.Build, m resolve.Member) (layers.File, error) {
	f := layers.File{Path: m.Path, Mode: 0o644, Link: m.Target, HardLink: m.Type == "hardlink"}
	if m.Generated {
		content := b.Files[m.Path]
		f.Size, f.Open = int64(len(content)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
		return f, nil
	}
	file := filepath.Join(b.Context.Root, filepath.FromSlash(m.Path))
	info, err := os.Lstat(file)
	if err != nil {
		return f, err
	}
	f.Mode, f.Time = info.Mode(), info.ModTime()
	if m.Size != nil {
		f.Size, f.Open = *m.Size, func() (io.ReadCloser, error) { return os.Open(file) }
	}
	return f, nil
}

// writeJSON writes a file for programs and people.
func writeJSON(file string, v any) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return errors.Join(enc.Encode(v), f.Close())
}
