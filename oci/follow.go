package oci

import (
	"errors"
	"io"
)

// A follower reads a layer while it is fetched. It sees one try: what is fetched
// again it does not get. Nobody waits for it once it is closed.
type follower struct {
	r     *io.PipeReader
	w     *io.PipeWriter
	ended bool // nothing more is given
	broke bool // before the layer was whole
}

// errNoStream says that there was nothing to follow.
var errNoStream = errors.New("the layer was here already")

func newFollower() *follower {
	r, w := io.Pipe()
	return &follower{r: r, w: w}
}

// beside gives what is written to w to the follower, too.
func (f *follower) beside(w io.Writer) io.Writer {
	if f == nil || f.ended {
		return w
	}
	return io.MultiWriter(w, f)
}

// Write implements [io.Writer]. That nobody reads is no error.
func (f *follower) Write(p []byte) (int, error) {
	if !f.ended {
		_, err := f.w.Write(p)
		f.ended = err != nil
	}
	return len(p), nil
}

// end says that the layer is whole, or why it is not.
func (f *follower) end(err error) {
	if f != nil && !f.ended {
		f.ended, f.broke = true, err != nil
		f.w.CloseWithError(err)
	}
}
