package layers_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers"
)

func TestParseCompression(t *testing.T) {
	for text, want := range map[string]layers.Compression{
		"gzip": {Name: "gzip"}, "gzip:9": {Name: "gzip", Level: 9}, "zstd:19": {Name: "zstd", Level: 19}, "uncompressed": {Name: "uncompressed"},
	} {
		if got, err := layers.ParseCompression(text); err != nil || got != want {
			t.Errorf("ParseCompression(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "xz", "gzip:", "gzip:0", "gzip:10", "zstd:23", "zstd:-1", "uncompressed:1", "gzip:5:5"} {
		if got, err := layers.ParseCompression(text); err == nil {
			t.Errorf("ParseCompression(%q) = %v, want an error", text, got)
		}
	}
}

// TestBytesDoNotDependOnTheMachine compresses with one core and with several.
func TestBytesDoNotDependOnTheMachine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 900_000)
	for i := range data {
		data[i] = byte(r.IntN(12))
	}
	seen := map[string]bool{}
	for _, text := range []string{"gzip", "gzip:1", "gzip:9", "zstd", "zstd:1", "zstd:19", "uncompressed"} {
		c, err := layers.ParseCompression(text)
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.String()] {
			t.Errorf("%s has the name of another compression, %s", text, c)
		}
		seen[c.String()] = true
		var outs [][]byte
		for _, cores := range []int{1, 4} {
			before := runtime.GOMAXPROCS(cores)
			var out bytes.Buffer
			_, err := new(layers.Packer).Pack(t.Context(), &out, c, func(w io.Writer) error {
				for part := range bytesIn(data, 1+cores*7919) { // nor on how it is written
					if _, err := w.Write(part); err != nil {
						return err
					}
				}
				return nil
			})
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
			outs = append(outs, out.Bytes())
		}
		if !bytes.Equal(outs[0], outs[1]) {
			t.Errorf("%s: other bytes with other cores", text)
		}
		z, err := layers.Decompress(bytes.NewReader(outs[0]))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%s: %d bytes came back, error %v, want %d", text, len(back), err, len(data))
		}
	}
}

func bytesIn(data []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			part := data[:min(n, len(data))]
			data = data[len(part):]
			if !yield(part) {
				return
			}
		}
	}
}

// TestPackerAgain compresses with what compressed something else before.
func TestPackerAgain(t *testing.T) {
	pack := func(p *layers.Packer, level int, text string) string {
		var out bytes.Buffer
		_, err := p.Pack(t.Context(), &out, layers.Compression{Name: layers.Gzip, Level: level}, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	var p layers.Packer
	for _, one := range []struct {
		level int
		text  string
	}{{5, strings.Repeat("one two three ", 50_000)}, {5, "one two"}, {9, strings.Repeat("one two three ", 50_000)}, {1, ""}, {1, "three"}} {
		if pack(&p, one.level, one.text) != pack(new(layers.Packer), one.level, one.text) {
			t.Errorf("level %d, %d bytes: not the bytes of a new packer", one.level, len(one.text))
		}
	}
}
