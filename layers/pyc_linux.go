package layers

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// A .pyc begins with a magic number, flags, and, if the flags are 0, the time
// and the size of its source (PEP 552).
const (
	pycHeader = 16
	pycFlags  = 4
	pycTime   = 8
)

// matchPyc looks for .pyc files whose source is among the changes too and that
// name its time: the two must go on matching, or Python compiles again at
// every start and every build gives another layer.
func (k *capture) matchPyc() error {
	if k.o.Time.IsZero() {
		return nil
	}
	sources := map[string]*change{}
	for _, c := range k.list {
		if c.emit && strings.HasSuffix(c.path, ".py") {
			sources[c.path] = c
		}
	}
	for _, c := range k.list {
		source := sources[sourceOf(c.path)]
		if !c.emit || source == nil || !c.info.Mode().IsRegular() {
			continue
		}
		timed, err := hasTime(c.host)
		if err != nil {
			return err
		}
		if timed && k.o.KeepPyc {
			source.ownTime = true
		} else if timed {
			c.pyc = true
		}
	}
	return nil
}

// sourceOf is the source that a .pyc was compiled from, or nothing.
func sourceOf(p string) string {
	dir, name := path.Split(p)
	name, ok := strings.CutSuffix(name, ".pyc")
	if !ok {
		return ""
	}
	if path.Base(dir) != "__pycache__" {
		return dir + name + ".py"
	}
	module, _, _ := strings.Cut(name, ".") // module.cpython-311.opt-1
	return path.Join(path.Dir(path.Clean(dir)), module+".py")
}

// hasTime says whether a .pyc is checked by the time of its source.
func hasTime(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var h [pycHeader]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return false, nil // too short for a .pyc, so it is none
	}
	return binary.LittleEndian.Uint32(h[pycFlags:]) == 0, nil
}

// timeOf is the time that an entry has in the layer.
func (k *capture) timeOf(c *change) time.Time {
	if k.o.Time.IsZero() || c.ownTime {
		return c.info.ModTime().Truncate(time.Second)
	}
	return k.o.Time
}

// open returns the content that a file has in the layer.
func (k *capture) open(c *change) (io.ReadCloser, error) {
	f, err := os.Open(c.host)
	if err != nil || !c.pyc {
		return f, err
	}
	h := make([]byte, pycHeader)
	if _, err := io.ReadFull(f, h); err != nil {
		f.Close()
		return nil, err
	}
	k.stamp(h)
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(h), f), f}, nil
}

// stamp sets the time in the header of a .pyc.
func (k *capture) stamp(h []byte) {
	binary.LittleEndian.PutUint32(h[pycTime:], uint32(k.o.Time.Unix()))
}
