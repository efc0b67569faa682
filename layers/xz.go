package layers

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzDictionary bounds the memory that an xz stream may ask for, in bytes: twice
// what xz -9 asks for.
const xzDictionary = 128 << 20

const xzMagic = "\xfd7zXZ\x00"

// xzReader reads xz files, of any number of streams and blocks
// (https://tukaani.org/xz/xz-file-format.txt). The library's own reader of the
// container takes whatever dictionary a block asks for, up to 4 GiB; this one
// looks first. Filters other than LZMA2 are refused.
type xzReader struct {
	in    counted
	check byte // kind of checks of this stream
	block io.Reader
	start int64 // of the block's data
	sum   hash.Hash
}

// counted counts what is read of it.
type counted struct {
	r *bufio.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte implements [io.ByteReader].
func (c *counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// errXz is wrapped by what is wrong with an xz file.
var errXz = errors.New("not an xz file that can be read")

func newXz(r io.Reader) (*xzReader, error) {
	x := &xzReader{in: counted{r: bufio.NewReaderSize(r, 64<<10)}}
	return x, x.stream()
}

// stream reads a stream's header.
func (x *xzReader) stream() error {
	var h [12]byte
	if _, err := io.ReadFull(&x.in, h[:]); err != nil {
		return xzError(err)
	}
	if string(h[:6]) != xzMagic || h[6] != 0 || h[7] > 15 || crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return fmt.Errorf("%w: bad header", errXz)
	}
	x.check = h[7]
	return nil
}

// Read implements [io.Reader].
func (x *xzReader) Read(p []byte) (int, error) {
	for {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if errors.Is(err, io.EOF) {
			err = x.endBlock()
			x.block = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next goes to the next block, of this stream or another; the end is [io.EOF].
func (x *xzReader) next() error {
	for {
		size, err := x.in.ReadByte()
		if err != nil {
			return xzError(err)
		}
		if size != 0 {
			return x.beginBlock(size)
		}
		if err := x.index(); err != nil {
			return err
		}
		if err := x.padding(); err != nil {
			return err // io.EOF if there is no other stream
		}
		if err := x.stream(); err != nil {
			return err
		}
	}
}

// beginBlock reads a block's header, whose first byte was read.
func (x *xzReader) beginBlock(size byte) error {
	h := make([]byte, (int(size)+1)*4)
	h[0] = size
	if _, err := io.ReadFull(&x.in, h[1:]); err != nil {
		return xzError(err)
	}
	end := len(h) - 4
	if crc32.ChecksumIEEE(h[:end]) != binary.LittleEndian.Uint32(h[end:]) {
		return fmt.Errorf("%w: bad block", errXz)
	}
	dictionary, err := xzFilter(bytes.NewReader(h[2:end]), h[1])
	if err != nil {
		return err
	}
	x.start, x.sum = x.in.n, xzSum(x.check)
	x.block, err = lzma.Reader2Config{DictCap: max(int(dictionary), lzma.MinDictCap)}.NewReader2(&x.in)
	return err
}

// xzFilter reads what the data of a block went through, and returns the size of
// the dictionary.
func xzFilter(r *bytes.Reader, flags byte) (int64, error) {
	for _, flag := range []byte{0x40, 0x80} { // sizes, which we do not need
		if flags&flag != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return 0, xzError(err)
			}
		}
	}
	filter, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, xzError(err)
	}
	properties, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, xzError(err)
	}
	if flags&3 != 0 || filter != 0x21 || properties != 1 {
		return 0, fmt.Errorf("%w: it has a filter other than LZMA2", errXz)
	}
	code, err := r.ReadByte()
	if err != nil {
		return 0, xzError(err)
	}
	size, err := lzma.DecodeDictCap(code)
	if err != nil || size > xzDictionary {
		return 0, fmt.Errorf("%w: it wants %d bytes of memory, and may have %d", errXz, size, xzDictionary)
	}
	return size, nil
}

// xzSum returns what a block is checked with; nil for nothing, or something
// that we do not know.
func xzSum(check byte) hash.Hash {
	switch check {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		return sha256.New()
	}
	return nil
}

// endBlock reads what follows the data of a block.
func (x *xzReader) endBlock() error {
	sizes := [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	end := make([]byte, int(-(x.in.n-x.start)&3)+sizes[x.check])
	if _, err := io.ReadFull(&x.in, end); err != nil {
		return xzError(err)
	}
	if x.sum == nil {
		return nil
	}
	want, got := end[len(end)-sizes[x.check]:], x.sum.Sum(nil)
	if x.check != 10 { // those are written from their low end
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its content has another checksum", errXz)
	}
	return nil
}

// index skips a stream's index, whose first byte was read, and its footer.
func (x *xzReader) index() error {
	start := x.in.n - 1
	n, err := binary.ReadUvarint(&x.in)
	for ; err == nil && n > 0; n-- {
		if _, err = binary.ReadUvarint(&x.in); err == nil {
			_, err = binary.ReadUvarint(&x.in)
		}
	}
	if err != nil {
		return xzError(err)
	}
	footer := make([]byte, int(-(x.in.n-start)&3)+4+12)
	if _, err := io.ReadFull(&x.in, footer); err != nil {
		return xzError(err)
	}
	if string(footer[len(footer)-2:]) != "YZ" {
		return fmt.Errorf("%w: bad end", errXz)
	}
	return nil
}

// padding skips zeros between streams.
func (x *xzReader) padding() error {
	for {
		word, err := x.in.r.Peek(4)
		if len(word) == 0 && errors.Is(err, io.EOF) {
			return io.EOF
		}
		if len(word) < 4 {
			return xzError(io.ErrUnexpectedEOF)
		}
		if string(word) != "\x00\x00\x00\x00" {
			return nil
		}
		if _, err := io.CopyN(io.Discard, &x.in, 4); err != nil {
			return xzError(err)
		}
	}
}

// xzError is an error within a file, where its end is too early.
func xzError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", errXz, err)
}
