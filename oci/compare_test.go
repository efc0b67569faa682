package oci_test

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kanso-build/kanso/oci"
)

// comparableImage is an image of one layer with a few files, as change leaves them.
func comparableImage(t *testing.T, change func([]tar.Header, map[string]string) []tar.Header, config func(*v1.ConfigFile), level int) v1.Image {
	t.Helper()
	contents := map[string]string{"app/a": "aaaa", "app/b": "bbbb"}
	headers := []tar.Header{
		{Name: "app/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "app/a", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "app/b", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "app/l", Typeflag: tar.TypeSymlink, Linkname: "a", Mode: 0o777},
	}
	if change != nil {
		headers = change(headers, contents)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Size = int64(len(contents[h.Name]))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, contents[h.Name])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithCompressionLevel(level))
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "COPY it"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Env = []string{"A=1"}
	if config != nil {
		config(cfg)
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestDifferencesAreNamed(t *testing.T) {
	files := func(change func([]tar.Header, map[string]string) []tar.Header) v1.Image {
		return comparableImage(t, change, nil, 6)
	}
	header := func(change func(*tar.Header)) v1.Image {
		return files(func(h []tar.Header, _ map[string]string) []tar.Header {
			change(&h[1])
			return h
		})
	}
	built := files(nil)
	for name, test := range map[string]struct {
		image v1.Image
		want  string
	}{
		"a byte of a file": {files(func(h []tar.Header, c map[string]string) []tar.Header {
			c["app/a"] = "aaab"
			return h
		}), "layer 1 (COPY it): /app/a: content is sha256:"},
		"a mode":       {header(func(h *tar.Header) { h.Mode = 0o4755 }), "/app/a: mode is 04755, built again 0644"},
		"an owner":     {header(func(h *tar.Header) { h.Uid = 7 }), "/app/a: owner is 7:0, built again 0:0"},
		"a time":       {header(func(h *tar.Header) { h.ModTime = h.ModTime.AddDate(1, 0, 0) }), "/app/a: time is "},
		"a type":       {header(func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd" }), "/app/a: type is L, built again file"},
		"an attribute": {header(func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "1"} }), "/app/a: attribute user.x is 31, built again"},
		"a link": {files(func(h []tar.Header, _ map[string]string) []tar.Header {
			h[3].Linkname = "b"
			return h
		}), `/app/l: link is "b", built again "a"`},
		"a file more": {files(func(h []tar.Header, _ map[string]string) []tar.Header {
			return append(h, tar.Header{Name: "app/\x1b[2Jx", Typeflag: tar.TypeReg, Mode: 0o644})
		}), `"/app/\x1b[2Jx": is not in the image built again`},
		"a file less": {files(func(h []tar.Header, _ map[string]string) []tar.Header { return h[:3] }), "/app/l: is missing, and in the image built again"},
		"a deletion": {files(func(h []tar.Header, _ map[string]string) []tar.Header {
			return append(h, tar.Header{Name: "etc/.wh.passwd", Typeflag: tar.TypeReg})
		}), "/etc/passwd (deleted): is not in the image built again"},
		"a file twice": {files(func(h []tar.Header, c map[string]string) []tar.Header {
			c["app/a"] = "again"
			return append(h, h[1])
		}), "/app/a: content is sha256:"},
		"an order": {files(func(h []tar.Header, _ map[string]string) []tar.Header {
			h[1], h[2] = h[2], h[1]
			return h
		}), "layer 1 (COPY it): the same files in another order or form"},
		"a compression":  {comparableImage(t, nil, nil, 1), "layer 1 (COPY it): the same tar, compressed in another way"},
		"an environment": {comparableImage(t, nil, func(c *v1.ConfigFile) { c.Config.Env = []string{"A=2"} }, 6), `configuration: config.Env.000 is "A=2", built again "A=1"`},
		"a history that is another, too": {comparableImage(t, func(h []tar.Header, c map[string]string) []tar.Header {
			c["app/a"] = "aaab"
			return h
		}, func(c *v1.ConfigFile) { c.History[0].CreatedBy = "RUN it" }, 6), "layers from 1 on: /app/a: content is sha256:"},
		"a layer more":  {another(t, built), "layers from 2 on: /new: is not in the image built again"},
		"an annotation": {annotated(built), `manifest: annotations is {"a":"b"}, built again null`},
		"a lying configuration": {comparableImage(t, func(h []tar.Header, c map[string]string) []tar.Header {
			c["app/a"] = "aaab"
			return h
		}, func(c *v1.ConfigFile) { c.RootFS.DiffIDs = diffIDsOf(t, built) }, 6), "and its configuration says sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := oci.Differences(t.Context(), test.image, built)
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, d := range found {
				all = append(all, d.String())
			}
			if text := strings.Join(all, "\n"); !strings.Contains(text, test.want) {
				t.Errorf("%s, want %s", text, test.want)
			}
		})
	}
}

func annotated(img v1.Image) v1.Image {
	out, _ := mutate.Annotations(img, map[string]string{"a": "b"}).(v1.Image) // it is one
	return out
}

func diffIDsOf(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return cfg.RootFS.DiffIDs
}

// another is an image with one layer more.
func another(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	ls, err := layered(t, []tar.Header{{Name: "new", Typeflag: tar.TypeReg, Mode: 0o644}}).Layers()
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, ls...); err != nil {
		t.Fatal(err)
	}
	return img
}
