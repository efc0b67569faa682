package layers

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Part is one of the layers that a layer is divided into.
type Part struct {
	// Name says what is in it, for people; it is short.
	Name  string
	Files []File
	// Known, if it is not empty, is the name of a layer that is this very one; then
	// the files are not read.
	Known string
}

// A Refusal says why there are no layers after all. A stream of parts may end in
// one.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// A PartReader is a part in a stream.
type PartReader struct {
	Name, Known string // as in [Part]
	Tar         io.Reader
}

// The frames of a stream of parts: a byte, the length of what follows as four
// bytes, big-endian, and that.
const (
	frameName    byte = iota + 1 // a part begins
	frameData                    // a piece of its tar
	frameDone                    // no part follows
	frameKnown                   // the name of the layer that the part is
	frameRefused                 // a [Refusal], which ends the stream
)

// maxFrame bounds a frame, in bytes.
const maxFrame = 1 << 20

// WriteParts writes layers one after the other, each as [Write] does, for
// [ReadParts].
func WriteParts(ctx context.Context, w io.Writer, parts []Part) error {
	for _, p := range parts {
		if err := writeFrame(w, frameName, []byte(p.Name)); err != nil {
			return err
		}
		if p.Known != "" {
			if err := writeFrame(w, frameKnown, []byte(p.Known)); err != nil {
				return err
			}
			continue
		}
		tar := bufio.NewWriterSize(framed{w}, 256<<10)
		if err := Write(ctx, tar, every(p.Files)); err != nil {
			return err
		}
		if err := tar.Flush(); err != nil {
			return err
		}
	}
	return writeFrame(w, frameDone, nil)
}

// every are files as [Write] takes them.
func every(files []File) func(yield func(File, error) bool) {
	return func(yield func(File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// framed writes what it is given as frames of data.
type framed struct{ w io.Writer }

// Write implements [io.Writer].
func (f framed) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), maxFrame)]
		if err := writeFrame(f.w, frameData, piece); err != nil {
			return n, err
		}
		n += len(piece)
		p = p[len(piece):]
	}
	return n, nil
}

func writeFrame(w io.Writer, kind byte, data []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data))) //nolint:gosec // at most maxFrame
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("write layers: %w", err)
	}
	if len(data) == 0 {
		return nil
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write layers: %w", err)
	}
	return nil
}

// errParts is wrapped by the error for a stream that is none of parts.
var errParts = errors.New("not a stream of layers")

// writeRefusal ends a stream of parts with the reason why it has none.
func writeRefusal(w io.Writer, why Refusal) error {
	return writeFrame(w, frameRefused, []byte(why)[:min(len(why), maxFrame)])
}

// ReadParts reads what [WriteParts] writes. Each layer is given to part, which
// reads its tar to the end. A [Refusal] in the stream is the error.
func ReadParts(r io.Reader, part func(p PartReader) error) error {
	p := &partsReader{r: bufio.NewReaderSize(r, 256<<10)}
	if err := p.next(); err != nil {
		return err
	}
	for p.kind == frameName {
		name, err := p.text()
		if err != nil {
			return err
		}
		out := PartReader{Name: name, Tar: p}
		if p.kind == frameKnown {
			if out.Known, err = p.text(); err != nil {
				return err
			}
		}
		if err := part(out); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{p}); err != nil {
			return err
		}
	}
	if p.kind == frameRefused {
		why, err := p.rest()
		if err != nil {
			return err
		}
		return Refusal(why)
	}
	if p.kind != frameDone {
		return fmt.Errorf("read layers: %w", errParts)
	}
	return nil
}

// partsReader reads the tar of one part after the other.
type partsReader struct {
	r    *bufio.Reader
	kind byte
	left int // of the frame
}

// next reads the head of a frame.
func (p *partsReader) next() error {
	var head [5]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return fmt.Errorf("read layers: %w", err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return fmt.Errorf("read layers: %w", errParts)
	}
	p.kind, p.left = head[0], int(n)
	return nil
}

// Read implements [io.Reader] for the part under way.
func (p *partsReader) Read(data []byte) (int, error) {
	for p.kind == frameData && p.left == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	if p.kind != frameData {
		return 0, io.EOF
	}
	n, err := p.r.Read(data[:min(len(data), p.left)])
	p.left -= n
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("read layers: %w", io.ErrUnexpectedEOF)
	}
	return n, err
}

// rest is what is left of the frame.
func (p *partsReader) rest() (string, error) {
	data := make([]byte, p.left)
	if _, err := io.ReadFull(p.r, data); err != nil {
		return "", fmt.Errorf("read layers: %w", err)
	}
	return string(data), nil
}

// text is the frame; the next one is under way then.
func (p *partsReader) text() (string, error) {
	text, err := p.rest()
	if err != nil {
		return "", err
	}
	return text, p.next()
}
