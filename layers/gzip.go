package layers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

const (
	gzipBlock  = 256 << 10 // bytes that are compressed on their own
	gzipDict   = 16 << 10  // of the block before, that a block may refer to
	gzipBlocks = 5         // that there are, one of them being filled; how many does not show in what comes out
)

// A gzipWriter compresses block by block, on all cores, into one gzip member. The
// bytes are those of pgzip with blocks of this size where there is no noise: where
// it begins and ends, deflate's own blocks are cut (see [cuts]), and with much of it
// our level is the quickest one. It can be used again, for its level.
type gzipWriter struct {
	level     int
	deflaters *deflaters
	w         io.Writer
	crc       uint32
	size      uint32 // modulo 2^32
	block     *gzipPiece
	dict      []byte // of the next block

	made   int // blocks that there are
	free   chan *gzipPiece
	order  chan *gzipPiece // for who writes them
	done   chan struct{}   // closed when all is written
	failed atomic.Bool     // err is set
	err    error
}

// A gzipPiece is a block before and after it is compressed.
type gzipPiece struct {
	data, dict []byte
	last       bool
	out        bytes.Buffer
	err        error
	ready      chan struct{}
}

func newGzipWriter(w io.Writer, level int, d *deflaters) (*gzipWriter, error) {
	if level < flate.HuffmanOnly || level > flate.BestCompression {
		return nil, fmt.Errorf("gzip has no level %d", level)
	}
	z := &gzipWriter{level: level, deflaters: d, free: make(chan *gzipPiece, gzipBlocks)}
	z.reset(w)
	return z, nil
}

// reset begins anew. What was begun before has to be closed.
func (z *gzipWriter) reset(w io.Writer) {
	z.w, z.crc, z.size, z.dict, z.err = w, 0, 0, z.dict[:0], nil
	z.failed.Store(false)
	z.order, z.done = make(chan *gzipPiece, gzipBlocks), make(chan struct{})
	z.block = z.piece()
	go z.drain(z.order, z.done)
}

// header begins a member: without flags, with the time that pgzip writes where
// there is none, and from no system.
func (z *gzipWriter) header() []byte {
	h := []byte{0x1f, 0x8b, 8, 0, 0x00, 0x09, 0x6e, 0x88, 0, 255}
	switch z.level {
	case flate.BestCompression:
		h[8] = 2
	case flate.BestSpeed:
		h[8] = 4
	}
	return h
}

// piece is an empty block. It waits for one.
func (z *gzipWriter) piece() *gzipPiece {
	var b *gzipPiece
	select {
	case b = <-z.free:
	default:
		if z.made < gzipBlocks {
			z.made++
			b = &gzipPiece{data: make([]byte, 0, gzipBlock), ready: make(chan struct{}, 1)}
		} else {
			b = <-z.free
		}
	}
	b.data, b.dict, b.last, b.err = b.data[:0], append(b.dict[:0], z.dict...), false, nil
	b.out.Reset()
	return b
}

// Write implements [io.Writer]. What cannot be written is told by a later call.
func (z *gzipWriter) Write(p []byte) (int, error) {
	if z.failed.Load() {
		return 0, z.err
	}
	z.crc = crc32.Update(z.crc, crc32.IEEETable, p)
	z.size += uint32(len(p)) //nolint:gosec // as gzip has it
	for rest := p; len(rest) > 0; {
		n := min(len(rest), gzipBlock-len(z.block.data))
		z.block.data = append(z.block.data, rest[:n]...)
		rest = rest[n:]
		if len(z.block.data) == gzipBlock {
			z.send()
			z.block = z.piece()
		}
	}
	return len(p), nil
}

// send has the block compressed and written.
func (z *gzipWriter) send() {
	b := z.block
	z.dict = append(z.dict[:0], b.data[max(0, len(b.data)-gzipDict):]...)
	z.order <- b
	go func() {
		d := z.deflaters.take()
		b.err = d.deflate(b, z.level)
		z.deflaters.put(d)
		b.ready <- struct{}{}
	}()
}

// drain writes blocks in their order.
func (z *gzipWriter) drain(order <-chan *gzipPiece, done chan<- struct{}) {
	defer close(done)
	_, err := z.w.Write(z.header())
	for {
		if err != nil && !z.failed.Load() {
			z.err = err
			z.failed.Store(true)
		}
		b, ok := <-order
		if !ok {
			return
		}
		<-b.ready
		if err == nil {
			err = b.err
		}
		if err == nil {
			_, err = z.w.Write(b.out.Bytes())
		}
		z.free <- b
	}
}

// Close writes what is left and the end. Nothing of z runs any more then; w stays
// open.
func (z *gzipWriter) Close() error {
	z.block.last = true
	z.send()
	close(z.order)
	<-z.done
	if z.failed.Load() {
		return z.err
	}
	end := binary.LittleEndian.AppendUint32(nil, z.crc)
	_, err := z.w.Write(binary.LittleEndian.AppendUint32(end, z.size))
	return err
}
