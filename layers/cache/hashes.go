package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A stamp is what stat says of a file and what changes when its content does.
type stamp struct {
	Dev, Ino uint64
	Size     int64
	Mtime    int64 // in nanoseconds
	Ctime    int64
}

// remembered is a file's stamp and the sha256 of its content.
type remembered struct {
	stamp stamp
	sum   [sha256.Size]byte
}

// racy is how much older than the build a file must be to be remembered: one
// that is changed twice within the resolution of a file system's clock looks
// the same both times.
const racy = 2 * time.Second

// maxHashes bounds the memory; beyond it the file starts anew.
const maxHashes = 1_000_000

// hashes remembers contents of files.
type hashes struct {
	file   string
	mu     sync.Mutex
	loaded bool
	start  int64 // by the file system's clock, in nanoseconds
	known  map[string]remembered
	added  map[string]remembered
}

// load reads the memory. One that cannot be read is forgotten.
func (h *hashes) load() {
	if h.loaded {
		return
	}
	h.loaded, h.added = true, map[string]remembered{}
	h.known = readHashes(h.file)
	f, err := os.CreateTemp(filepath.Dir(h.file), "clock-")
	if err != nil {
		return // start stays 0, so nothing is remembered
	}
	if info, err := f.Stat(); err == nil {
		h.start = info.ModTime().UnixNano()
	}
	f.Close()
	os.Remove(f.Name())
}

func readHashes(file string) map[string]remembered {
	data, err := os.ReadFile(file)
	if err == nil {
		if data, ok := unsealed(data); ok {
			if known, ok := decodeHashes(string(data)); ok {
				return known
			}
		}
	}
	return map[string]remembered{}
}

// FileHash returns the hash of a file's content if the file is as it was when
// the hash was taken.
func (d *Dir) FileHash(file string, info fs.FileInfo) (v1.Hash, bool) {
	s, ok := stampOf(info)
	if !ok {
		return v1.Hash{}, false
	}
	h := &d.files
	h.mu.Lock()
	defer h.mu.Unlock()
	h.load()
	r, ok := h.added[file]
	if !ok {
		r, ok = h.known[file]
	}
	if !ok || r.stamp != s {
		return v1.Hash{}, false
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(r.sum[:])}, true
}

// PutFileHash remembers the hash of a file's content. info was taken before
// the content was read. A file that changed moments ago is not remembered: it
// could change again and look the same.
func (d *Dir) PutFileHash(file string, info fs.FileInfo, sum v1.Hash) {
	s, ok := stampOf(info)
	r := remembered{stamp: s}
	n, err := hex.Decode(r.sum[:], []byte(sum.Hex))
	if !ok || sum.Algorithm != "sha256" || n != sha256.Size || err != nil {
		return
	}
	h := &d.files
	h.mu.Lock()
	defer h.mu.Unlock()
	h.load()
	if limit := h.start - int64(racy); s.Mtime >= limit || s.Ctime >= limit {
		return
	}
	h.added[file] = r
}

// Flush writes the remembered hashes down, together with what other builds
// wrote meanwhile.
func (d *Dir) Flush() error {
	h := &d.files
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.added) == 0 {
		return nil
	}
	all := readHashes(h.file)
	if len(all)+len(h.added) > maxHashes {
		all = map[string]remembered{}
	}
	for k, v := range h.added {
		all[k], h.known[k] = v, v
	}
	h.added = map[string]remembered{}
	return writeWhole(h.file, filepath.Join(d.root, tempDir), sealed(encodeHashes(all)))
}
