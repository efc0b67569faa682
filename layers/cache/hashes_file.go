package cache

import (
	"encoding/binary"
	"strings"
)

// hashesFormat begins the file of hashes. The entries follow: length and bytes of
// the path, the numbers of the stamp, as varints, and the hash.
const hashesFormat = "kanso files 2\n"

// encodeHashes is the content of the file.
func encodeHashes(all map[string]remembered) []byte {
	data := make([]byte, 0, len(hashesFormat)+len(all)*128)
	data = append(data, hashesFormat...)
	for name, r := range all {
		data = binary.AppendUvarint(data, uint64(len(name)))
		data = append(data, name...)
		for _, n := range []uint64{r.stamp.Dev, r.stamp.Ino} {
			data = binary.AppendUvarint(data, n)
		}
		for _, n := range []int64{r.stamp.Size, r.stamp.Mtime, r.stamp.Ctime} {
			data = binary.AppendVarint(data, n)
		}
		data = append(data, r.sum[:]...)
	}
	return data
}

// decodeHashes reads such a content, all of it or nothing. The paths are parts of
// it, so that a hundred thousand of them are read in the time of a few.
func decodeHashes(data string) (known map[string]remembered, ok bool) {
	d := hashesReader{rest: data}
	if !d.skip(hashesFormat) {
		return nil, false
	}
	known = make(map[string]remembered, len(data)/128)
	for d.rest != "" && !d.bad {
		name := d.bytes(d.unsigned())
		r := remembered{stamp: stamp{Dev: d.unsigned(), Ino: d.unsigned(), Size: d.signed(), Mtime: d.signed(), Ctime: d.signed()}}
		copy(r.sum[:], d.bytes(uint64(len(r.sum))))
		known[name] = r
	}
	return known, !d.bad
}

// hashesReader reads from the front of what is left. bad says that it was not
// what it should be.
type hashesReader struct {
	rest string
	bad  bool
}

func (d *hashesReader) skip(text string) (ok bool) {
	d.rest, ok = strings.CutPrefix(d.rest, text)
	return ok
}

func (d *hashesReader) bytes(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *hashesReader) unsigned() uint64 {
	n, size := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		d.bad, d.rest = true, ""
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *hashesReader) signed() int64 {
	n, size := binary.Varint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		d.bad, d.rest = true, ""
		return 0
	}
	d.rest = d.rest[size:]
	return n
}
