package layers

import (
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

// maxDeflaters is how many blocks are compressed at once, of all layers; each takes
// two megabytes.
const maxDeflaters = 8

// deflaters are what blocks are compressed with, for as many as there are cores. The
// zero value is ready.
type deflaters struct {
	once sync.Once
	busy chan struct{}
	idle sync.Pool // of *deflater
}

// take waits for one, which has to be put back.
func (p *deflaters) take() *deflater {
	p.once.Do(func() { p.busy = make(chan struct{}, min(runtime.GOMAXPROCS(0), maxDeflaters)) })
	p.busy <- struct{}{}
	if d, ok := p.idle.Get().(*deflater); ok {
		return d
	}
	return &deflater{}
}

func (p *deflaters) put(d *deflater) {
	p.idle.Put(d)
	<-p.busy
}

// A deflater compresses blocks, one at a time.
type deflater struct {
	level        int // of usual
	usual, quick *flate.Writer
	cuts         []int
}

// muchNoise is the part of a block, one in so many bytes, beyond which our level is
// the quickest one for it: little of what comes out is text then, and to look for
// the best of its repetitions is most of the time.
const muchNoise = 4

// writer is what a block is compressed with that has so many bytes of noise. The
// level is known to be one.
func (d *deflater) writer(level, noisy, of int) *flate.Writer {
	if level == gzipLevel && noisy*muchNoise > of {
		if d.quick == nil {
			d.quick, _ = flate.NewWriter(nil, flate.BestSpeed)
		}
		return d.quick
	}
	if d.usual == nil || d.level != level {
		d.usual, _ = flate.NewWriter(nil, level)
		d.level = level
	}
	return d.usual
}

// deflate fills what comes out of a block, to a whole number of bytes.
func (d *deflater) deflate(b *gzipPiece, level int) error {
	var noisy int
	d.cuts, noisy = cuts(d.cuts[:0], b.data)
	f := d.writer(level, noisy, len(b.data))
	f.ResetDict(&b.out, b.dict)
	done := 0
	for _, at := range d.cuts {
		if _, err := f.Write(b.data[done:at]); err != nil {
			return err
		}
		if err := f.Flush(); err != nil {
			return err
		}
		done = at
	}
	if _, err := f.Write(b.data[done:]); err != nil {
		return err
	}
	if err := f.Flush(); err != nil || !b.last {
		return err
	}
	return f.Close()
}
