package layers_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/pgzip"

	"github.com/kanso-build/kanso/layers"
)

// packed is data as a layer of gzip.
func packed(t *testing.T, level int, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := new(layers.Packer).Pack(t.Context(), &out, layers.Compression{Name: layers.Gzip, Level: level}, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// prose is text of n bytes.
func prose(r *rand.Rand, n int) []byte {
	var text strings.Builder
	for text.Len() < n {
		text.WriteString([]string{"step", "pipeline", "artifact", "model", "data", "_", " = ", "\n", "(", "1234"}[r.IntN(10)])
	}
	return []byte(text.String()[:n])
}

// dice are n bytes of a die.
func dice(r *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.IntN(256))
	}
	return data
}

// TestGzipIsPgzipsWithoutNoise compares with what made our layers before: those
// without noise stay the same bytes.
func TestGzipIsPgzipsWithoutNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, 100, 5000, 256 << 10, 256<<10 + 1, 700_000} {
		data := prose(r, size)
		for _, level := range []int{1, 3, 6, 9} {
			var want bytes.Buffer
			z, err := pgzip.NewWriterLevel(&want, level)
			if err == nil {
				err = z.SetConcurrency(256<<10, 4)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := z.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(packed(t, level, data), want.Bytes()) {
				t.Errorf("%d bytes at level %d: not pgzip's bytes", size, level)
			}
		}
	}
}

// TestGzipWithNoise has noise and text take turns in pieces of many sizes: the
// content is the same, and as small as if nothing were cut.
func TestGzipWithNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	weights := func(n int) []byte { // numbers between 0 and 1, of four bytes: three are noise
		data := dice(r, n)
		for i := 3; i < n; i += 4 {
			data[i] = 0x3e | byte(r.IntN(8)/7)
		}
		return data
	}
	tiled := bytes.Repeat(dice(r, 6000), 100)
	for name, data := range map[string][]byte{
		"noise":             dice(r, 1_000_000),
		"pages":             mixed(r, 1_000_000, func() int { return 4096 }),
		"pages not aligned": append([]byte("x"), mixed(r, 1_000_000, func() int { return 4096 })...),
		"many sizes":        mixed(r, 3_000_000, func() int { return 1 + r.IntN(60_000) }),
		"weights":           weights(1_000_000),
		"the same noise":    tiled,
	} {
		out := packed(t, 3, data)
		z, err := gzip.NewReader(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%s: %d bytes came back, error %v, want %d", name, len(back), err, len(data))
		}
		var whole bytes.Buffer
		w, err := pgzip.NewWriterLevel(&whole, 3)
		if err == nil {
			_, err = w.Write(data)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes are %d, pgzip's %d", name, len(data), len(out), whole.Len())
		if len(out)*100 > whole.Len()*102 {
			t.Errorf("%s: %d bytes are %d, pgzip's %d", name, len(data), len(out), whole.Len())
		}
	}
}

// TestGzipIsTheSameEverywhere knows the bytes. If others are meant, packVersion has to
// be raised: keys say what layers are.
func TestGzipIsTheSameEverywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	data := append(mixed(r, 900_000, func() int { return 1 + r.IntN(60_000) }), prose(r, 600_000)...)
	sum := sha256.Sum256(packed(t, 0, data))
	if got, want := hex.EncodeToString(sum[:]), "fafd0372da8ff6246e02314eaf341b65e4476fc3066a812475f96156f3a3e211"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// mixed are n bytes of text and noise by turns.
func mixed(r *rand.Rand, n int, size func() int) []byte {
	var data []byte
	for len(data) < n {
		data = append(data, prose(r, size())...)
		data = append(data, dice(r, size())...)
	}
	return data[:n]
}

// TestPackToldThatNothingCanBeWritten ends where the disk is full, with the disk's
// error.
func TestPackToldThatNothingCanBeWritten(t *testing.T) {
	full := errors.New("disk is full")
	for _, room := range []int{0, 9, 100_000, 1_000_000} {
		_, err := new(layers.Packer).Pack(t.Context(), &narrow{room: room, err: full}, layers.Compression{}, func(w io.Writer) error {
			data := dice(rand.New(rand.NewPCG(7, 8)), 1<<20)
			for range 10 {
				if _, err := w.Write(data); err != nil {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("room for %d bytes: got %v", room, err)
		}
	}
}

// narrow takes so many bytes and then fails.
type narrow struct {
	room int
	err  error
}

func (n *narrow) Write(p []byte) (int, error) {
	if n.room -= len(p); n.room < 0 {
		return 0, n.err
	}
	return len(p), nil
}

// FuzzGzip packs noise, text and copies of what was there, in any order: it can be
// read again, and is never much larger.
func FuzzGzip(f *testing.F) {
	f.Add([]byte{3, 200, 77, 3, 1, 0, 255, 255, 40, 4, 9}, uint64(1))
	f.Fuzz(func(t *testing.T, plan []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 9))
		var data []byte
		for len(plan) >= 3 && len(data) < 1<<20 {
			n := int(plan[1])<<8 + int(plan[2])
			switch plan[0] % 3 {
			case 0:
				data = append(data, prose(r, n)...)
			case 1:
				data = append(data, dice(r, n)...)
			case 2:
				data = append(data, data[max(0, len(data)-n):]...)
			}
			plan = plan[3:]
		}
		out := packed(t, 3, data)
		z, err := gzip.NewReader(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%d bytes came back, error %v, want %d", len(back), err, len(data))
		}
		if len(out) > len(data)+len(data)/100+64 {
			t.Errorf("%d bytes are %d", len(data), len(out))
		}
	})
}
