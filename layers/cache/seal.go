package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"time"
)

// sealed puts the hash of data before it, so that a file that was cut short or
// written to by somebody else is known for what it is.
func sealed(data []byte) []byte {
	sum := sha256.Sum256(data)
	return append(append(hex.AppendEncode(nil, sum[:]), '\n'), data...)
}

// unsealed is what [sealed] was given; ok is false for anything else.
func unsealed(file []byte) (data []byte, ok bool) {
	seal, data, found := bytes.Cut(file, []byte{'\n'})
	sum := sha256.Sum256(data)
	return data, found && string(seal) == hex.EncodeToString(sum[:])
}

// sealTime is the modification time of a blob that was verified when it came
// in. Whoever writes to the file changes it, and then it is verified anew.
func sealTime() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// intact says whether a blob is what its digest says: by its modification time
// or, if that is not the one that we gave it, by reading it. One that is not is
// removed.
func (d *Dir) intact(file string, info fs.FileInfo, digest string) bool {
	if info.ModTime().Equal(sealTime()) {
		return true
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	if hex.EncodeToString(h.Sum(nil)) != digest {
		os.Remove(file)
		return false
	}
	_ = os.Chtimes(file, time.Time{}, sealTime()) // else it is read once more
	return true
}

// touch notes that a file was used; its modification time stays.
func (d *Dir) touch(file string) {
	_ = os.Chtimes(file, d.now(), time.Time{}) // only tells what was used last
}

// now is when something is used; zero, which changes no time, without a clock. It
// is never before the build began, also if the clock went back meanwhile: what is
// used by a build that is running is told by that.
func (d *Dir) now() time.Time {
	if d.o.Now == nil {
		return time.Time{}
	}
	if now := d.o.Now(); now.After(d.session.began) {
		return now
	}
	return d.session.began
}
