package layers_test

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
)

// corpusOfLayers are layers to begin with.
func corpusOfLayers(f *testing.F) [][]byte {
	f.Helper()
	device := with(at(tar.TypeChar, "n", ""), func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 })
	attribute := with(evil("c"), func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"} })
	return [][]byte{
		nil, raw(f), raw(f, folder("d"), evil("d/f"), soft("l", "d"), hard("h", "d/f"), evil("l/x"), evil(".wh.d"), evil("d/.wh..wh..opq")),
		raw(f, soft("l", "../../beside"), evil("l/victim"), hard("l2", "l"), evil("../beside/victim")),
		raw(f, device, at(tar.TypeFifo, "p", ""), attribute, with(evil("s"), func(h *tar.Header) { h.Mode = 0o6755 })),
		pax(f, "12 path=abc\n"), sparse(f, 4096),
	}
}

// FuzzUnpack reads anything as a layer: nothing outside changes, and what is
// listed is what was unpacked.
func FuzzUnpack(f *testing.F) {
	for _, data := range corpusOfLayers(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<18 {
			t.Skip()
		}
		list, unpack, _ := everything(t, data)
		if list != nil && unpack == nil {
			t.Errorf("it was unpacked, but not listed: %v", list)
		}
	})
}

// FuzzRoundTrip spools what can be read as a layer and writes it again: it holds
// the same, and writing that again gives the same bytes.
func FuzzRoundTrip(f *testing.F) {
	for _, data := range corpusOfLayers(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, ok := rewritten(t, data)
		if !ok {
			return
		}
		second, ok := rewritten(t, first)
		if !ok || !bytes.Equal(first, second) {
			t.Fatalf("written again it is another layer: %v", ok)
		}
		want, err := layers.ListWithin(t.Context(), bytes.NewReader(data), small())
		if err != nil {
			return
		}
		got, err := layers.ListWithin(t.Context(), bytes.NewReader(first), small())
		if err != nil {
			t.Fatal(err)
		}
		if len(want.Entries) != len(got.Entries) {
			t.Fatalf("%d entries became %d", len(want.Entries), len(got.Entries))
		}
		for i := range want.Entries {
			w, g := want.Entries[i], got.Entries[i]
			if w.Path != g.Path || w.Sum != g.Sum || w.Whiteout != g.Whiteout || w.Opaque != g.Opaque || w.Mode != g.Mode {
				t.Errorf("entry %d (-before +after):\n%s", i, cmp.Diff(w, g))
			}
		}
	})
}

// held are the files of a layer, with their contents in memory.
func held(t *testing.T, r io.Reader) (files []layers.File, err error) {
	t.Helper()
	err = layers.Each(t.Context(), r, func(e layers.Entry, content io.Reader) error {
		switch {
		case e.Whiteout:
			files = append(files, layers.Whiteout(e.Path))
			return nil
		case e.Opaque:
			files = append(files, layers.Opaque(e.Path))
			return nil
		}
		f := layers.File{
			Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, Link: e.Link, HardLink: e.HardLink,
			Time: time.Unix(e.Time, 0), Major: e.Major, Minor: e.Minor,
		}
		for name, value := range e.Xattrs {
			if f.Xattrs == nil {
				f.Xattrs = map[string]string{}
			}
			f.Xattrs[name] = string(value)
		}
		if e.Mode.IsRegular() && !e.HardLink {
			text, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			f.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// rewritten holds a layer and writes it; not ok is what says that it cannot be.
func rewritten(t *testing.T, data []byte) ([]byte, bool) {
	t.Helper()
	if len(data) > 1<<18 {
		t.Skip()
	}
	if _, err := layers.ListWithin(t.Context(), bytes.NewReader(data), small()); err != nil {
		return nil, false
	}
	files, err := held(t, bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	var b bytes.Buffer
	if err := layers.Write(t.Context(), &b, seq(files...)); err != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// FuzzDecompress opens anything: it ends, and within bounds.
func FuzzDecompress(f *testing.F) {
	for _, text := range []string{"", "a", "\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh9", "\xfd7zXZ\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _, err := layers.OpenArchive(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 4<<20)) // only that it returns
	})
}

// FuzzListing reads anything as a listing that a cache kept.
func FuzzListing(f *testing.F) {
	f.Add([]byte(`{"entries":[{"path":"a"}],"odd":[{"at":0,"path":"/w==","link":""}]}`))
	f.Add([]byte(`{"entries":[{"path":"a","hard_link":true,"link":"a"},{"path":"..","mode":2147483648}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var l layers.Listing
		if l.UnmarshalJSON(data) != nil {
			return
		}
		out, err := l.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var again layers.Listing
		if err := again.UnmarshalJSON(out); err != nil {
			t.Errorf("it cannot be read again: %v", err)
		}
		view := layers.NewView([]layers.Listing{l})
		_, _ = view.Resolve("a/b/c") // only that it returns
	})
}
