package layers

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The algorithms that a layer can be compressed with.
const (
	Gzip         = "gzip"
	Zstd         = "zstd"
	Uncompressed = "uncompressed"
)

// A Compression says how a layer is compressed; the zero value is gzip.
type Compression struct {
	Name  string // [Gzip], [Zstd] or [Uncompressed]
	Level int    // of the algorithm; 0 is our default
}

const (
	gzipLevel   = 3 // half the time of 5 and 6 % larger: the size that other builders send
	zstdLevel   = 3
	zstdThreads = 2 // fixed, so that bytes never depend on the machine
	packVersion = 2 // raise it when the same tar compresses to other bytes
)

// String names everything that the compressed bytes depend on beside the tar;
// it is meant for keys.
func (c Compression) String() string {
	c = c.filled()
	return c.Name + ":" + strconv.Itoa(c.Level) + ":" + strconv.Itoa(gzipBlock) + ":" + strconv.Itoa(packVersion)
}

func (c Compression) filled() Compression {
	if c.Name == "" {
		c.Name = Gzip
	}
	switch {
	case c.Name == Uncompressed:
		c.Level = 0
	case c.Level != 0:
	case c.Name == Gzip:
		c.Level = gzipLevel
	case c.Name == Zstd:
		c.Level = zstdLevel
	}
	return c
}

// Packed describes a layer that was compressed.
type Packed struct {
	DiffID, Digest v1.Hash         // of the tar, of the compressed bytes
	Size, TarSize  int64           // in bytes, of the same
	MediaType      types.MediaType // OCI's
}

// A Packer compresses layers, several at once if need be. What compressing one
// takes, some megabytes, it keeps for the next one. The zero value is ready; a
// Packer must not be copied.
type Packer struct {
	gzips     sync.Pool // of *gzipWriter
	deflaters deflaters
}

// Pack compresses the tar that write writes, on all cores, and hashes both
// sides on the way, but for a side whose writer does so itself: one with a method
// Digest() v1.Hash, of what was written to it. The bytes depend on the tar and the
// compression alone.
func (p *Packer) Pack(ctx context.Context, w io.Writer, c Compression, write func(io.Writer) error) (Packed, error) {
	out := newMeter(w)
	enc, mt, err := p.encoder(out, c.filled())
	if err != nil {
		return Packed{}, err
	}
	in := newMeter(enc)
	if err := write(in); err != nil {
		enc.Close()
		return Packed{}, err
	}
	if err := enc.Close(); err != nil {
		return Packed{}, fmt.Errorf("compress layer: %w", err)
	}
	p.keep(enc)
	if ctx.Err() != nil {
		return Packed{}, context.Cause(ctx)
	}
	return Packed{DiffID: in.sum(), Digest: out.sum(), Size: out.n, TarSize: in.n, MediaType: mt}, nil
}

func (p *Packer) encoder(w io.Writer, c Compression) (io.WriteCloser, types.MediaType, error) {
	switch c.Name {
	case Uncompressed:
		return nopCloser{w}, types.OCIUncompressedLayer, nil
	case Gzip:
		z, err := p.gzip(w, c.Level)
		if err != nil {
			return nil, "", fmt.Errorf("compress layer: %w", err)
		}
		return z, types.OCILayer, nil
	case Zstd:
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.Level)), zstd.WithEncoderConcurrency(zstdThreads))
		if err != nil {
			return nil, "", fmt.Errorf("compress layer: %w", err)
		}
		return z, types.OCILayerZStd, nil
	}
	return nil, "", fmt.Errorf("unknown compression %q", c.Name)
}

// gzip returns a writer that was used before, or a new one.
func (p *Packer) gzip(w io.Writer, level int) (*gzipWriter, error) {
	z, _ := p.gzips.Get().(*gzipWriter)
	if z == nil || z.level != level {
		return newGzipWriter(w, level, &p.deflaters)
	}
	z.reset(w)
	return z, nil
}

// keep takes back an encoder that was closed without an error.
func (p *Packer) keep(enc io.WriteCloser) {
	if z, ok := enc.(*gzipWriter); ok {
		p.gzips.Put(z)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// A meter hashes and counts what passes.
type meter struct {
	w io.Writer
	h hash.Hash // nil if w hashes
	n int64
}

// digester is a writer that hashes what is written to it.
type digester interface{ Digest() v1.Hash }

func newMeter(w io.Writer) *meter {
	if _, ok := w.(digester); ok {
		return &meter{w: w}
	}
	return &meter{w: w, h: sha256.New()}
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	if m.h != nil {
		m.h.Write(p[:n])
	}
	m.n += int64(n)
	return n, err
}

func (m *meter) sum() v1.Hash {
	if d, ok := m.w.(digester); ok {
		return d.Digest()
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(m.h.Sum(nil))}
}

// zstdWindow bounds the memory that a zstd stream may ask for, in bytes.
const zstdWindow = 128 << 20

// Decompress returns the tar of a layer, whatever it is compressed with: gzip,
// zstd or nothing, told by its first bytes. Closing it does not close r.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("decompress layer: %w", err)
		}
		return z, nil
	case len(magic) == 4 && string(magic) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("decompress layer: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(br), nil
}
