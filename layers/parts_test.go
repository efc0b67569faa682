package layers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers"
)

// partsOf are two layers, one of which does not fit in a frame.
func partsOf() []layers.Part {
	content := func(p, data string) layers.File {
		return layers.File{Path: p, Mode: 0o644, Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil }}
	}
	return []layers.Part{
		{Name: "one", Files: []layers.File{content("a", strings.Repeat("a", 3<<20)), content("b", "b")}},
		{Files: []layers.File{content("c", "c")}},
		{Name: "nothing"},
	}
}

func TestPartsAreReadAsTheyWereWritten(t *testing.T) {
	var stream bytes.Buffer
	if err := layers.WriteParts(t.Context(), &stream, partsOf()); err != nil {
		t.Fatal(err)
	}
	i := 0
	err := layers.ReadParts(&stream, func(p layers.PartReader) error {
		want := partsOf()[i]
		var data bytes.Buffer
		err := layers.Write(context.Background(), &data, func(yield func(layers.File, error) bool) {
			for _, f := range want.Files {
				yield(f, nil)
			}
		})
		if err != nil {
			return err
		}
		if i == 1 {
			p.Tar = io.LimitReader(p.Tar, 3) // who reads less than all misses nothing of the next
			data.Truncate(3)
		}
		got, err := io.ReadAll(p.Tar)
		if p.Name != want.Name || !bytes.Equal(got, data.Bytes()) {
			t.Errorf("layer %d is %q with %d bytes, want %q with %d", i, p.Name, len(got), want.Name, data.Len())
		}
		i++
		return err
	})
	if err != nil || i != 3 {
		t.Errorf("%d layers, error %v", i, err)
	}
}

func TestPartsThatAreCutAreAnError(t *testing.T) {
	var stream bytes.Buffer
	if err := layers.WriteParts(t.Context(), &stream, partsOf()[1:]); err != nil {
		t.Fatal(err)
	}
	whole := stream.Bytes()
	for n := range whole {
		err := layers.ReadParts(bytes.NewReader(whole[:n]), func(p layers.PartReader) error {
			_, err := io.ReadAll(p.Tar)
			return err
		})
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes of %d the error is %v", n, len(whole), err)
		}
	}
	if err := layers.ReadParts(strings.NewReader("\xff\xff\xff\xff\xff"), nil); err == nil {
		t.Error("nonsense was read")
	}
}

func TestPartsThatAreKnownAreNotWritten(t *testing.T) {
	known := []layers.Part{{Name: "one", Known: "sha256:1", Files: []layers.File{{Path: "a", Mode: 0o644, Size: 1}}}, partsOf()[0]}
	var stream bytes.Buffer
	if err := layers.WriteParts(t.Context(), &stream, known); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := layers.ReadParts(&stream, func(p layers.PartReader) error {
		data, err := io.ReadAll(p.Tar)
		got = append(got, fmt.Sprint(p.Name, " ", p.Known, " ", len(data) > 0))
		return err
	})
	if want := []string{"one sha256:1 false", "one  true"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("parts are %q, want %q, error %v", got, want, err)
	}
}
