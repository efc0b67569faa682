package cache

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// layersEntry is what is kept under the key of a step.
type layersEntry struct {
	Layers []v1.Descriptor `json:"layers"`
	About  json.RawMessage `json:"about"`
}

// nameOf makes a file name of any text.
func nameOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (d *Dir) layerFile(key string) string {
	name := nameOf(key)
	return filepath.Join(d.root, layersDir, name[:2], name)
}

// Layers returns the layers that were made under a step's key, and what was said
// about them. They are found only while the blobs of all are there too and have
// the right sizes; an entry that cannot be read is none.
func (d *Dir) Layers(key string) (descs []v1.Descriptor, about []byte, ok bool, err error) {
	file := d.layerFile(key)
	e, ok, err := readLayers(file)
	if err != nil || !ok {
		return nil, nil, false, err
	}
	for _, desc := range e.Layers {
		if !d.holds(desc) {
			return nil, nil, false, nil
		}
	}
	d.touch(file)
	return e.Layers, e.About, true, nil
}

// readLayers reads the entry of a step's key; one that is damaged, or has no
// layer, is none.
func readLayers(file string) (e layersEntry, ok bool, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("read layer entry: %w", err)
	}
	data, ok = unsealed(data)
	return e, ok && json.Unmarshal(data, &e) == nil && len(e.Layers) > 0, nil
}

// holds says whether the blob is there with its whole length.
func (d *Dir) holds(desc v1.Descriptor) bool {
	file, ok := d.Blob(desc.Digest)
	if !ok {
		return false
	}
	info, err := os.Stat(file)
	return err == nil && info.Size() == desc.Size
}

// PutLayers remembers which layers a step's key made, bottom first, and what is
// to be said about them, in JSON.
func (d *Dir) PutLayers(key string, descs []v1.Descriptor, about []byte) error {
	data, err := json.Marshal(layersEntry{descs, about})
	if err != nil {
		return fmt.Errorf("encode layer entry: %w", err)
	}
	return d.write(d.layerFile(key), data)
}

func (d *Dir) blobFile(digest v1.Hash) string {
	return filepath.Join(d.root, blobsDir, digest.Algorithm, digest.Hex)
}

// Blob returns the file that holds the bytes of a digest. A file that somebody
// wrote to is verified first, and removed if it is something else.
func (d *Dir) Blob(digest v1.Hash) (file string, ok bool) {
	file = d.blobFile(digest)
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || !d.intact(file, info, digest.Hex) {
		return "", false
	}
	d.touch(file)
	return file, true
}

// errDigest is wrapped by the error for bytes that are not what they should be.
var errDigest = errors.New("digest does not match")

// PutBlob keeps what write writes. write returns the sha256 digest that it
// should have; anything else is an error and nothing is kept. The writer that it
// gets has a method Digest() v1.Hash, of what was written so far.
func (d *Dir) PutBlob(ctx context.Context, write func(w io.Writer) (v1.Hash, error)) (err error) {
	f, err := os.CreateTemp(filepath.Join(d.root, tempDir), "blob-")
	if err != nil {
		return fmt.Errorf("write blob: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	h := &hashing{w: bufio.NewWriterSize(f, 256<<10), h: sha256.New()}
	want, err := write(h)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if got := h.Digest(); want != got {
		return fmt.Errorf("write blob %s: got %s: %w", want, got, errDigest)
	}
	if err := h.w.Flush(); err != nil {
		return fmt.Errorf("write blob: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write blob: %w", err)
	}
	if err := os.Chtimes(f.Name(), d.now(), sealTime()); err != nil {
		return fmt.Errorf("write blob: %w", err)
	}
	d.added.Add(h.n)
	return place(f.Name(), d.blobFile(want))
}

type hashing struct {
	w *bufio.Writer
	h hash.Hash
	n int64
}

func (h *hashing) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.h.Write(p[:n])
	h.n += int64(n)
	return n, err
}

// Digest is that of what was written, for who would hash it, too.
func (h *hashing) Digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.h.Sum(nil))}
}

func (d *Dir) valueFile(kind, key string) string {
	return filepath.Join(d.root, valuesDir, kind, nameOf(key))
}

// Value returns a small fact; ok is false if none is kept, or a damaged one.
func (d *Dir) Value(kind, key string) ([]byte, bool, error) {
	file := d.valueFile(kind, key)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", kind, err)
	}
	data, ok := unsealed(data)
	if ok {
		d.touch(file)
	}
	return data, ok, nil
}

// HasValue says whether a small fact is kept, without reading it: [Dir.Value] may
// find it damaged. It counts as used.
func (d *Dir) HasValue(kind, key string) bool {
	file := d.valueFile(kind, key)
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	d.touch(file)
	return true
}

// PutValue keeps a small fact; kind is a word of ours, key any text.
func (d *Dir) PutValue(kind, key string, data []byte) error {
	return d.write(d.valueFile(kind, key), data)
}

func (d *Dir) write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	data = sealed(data)
	d.added.Add(int64(len(data)))
	if err := writeWhole(file, filepath.Join(d.root, tempDir), data); err != nil {
		return err
	}
	d.touch(file)
	return nil
}

// writeWhole writes a file by way of another one, in the directory temp.
func writeWhole(file, temp string, data []byte) (err error) {
	f, err := os.CreateTemp(temp, "entry-")
	if err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write entry: %w", err)
	}
	return nil
}

// place moves a finished file to its place.
func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("write entry: %w", err)
	}
	return nil
}
