package oci

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/kanso-build/kanso/layers/secrets"
)

// keyVersion is part of every key. Raise it when layers come out differently.
const keyVersion = "1"

// A key hashes what a layer is made from. Every part goes in with its name and
// its length, so that ("ab", "c") and ("a", "bc") differ. What the parts were is
// kept beside it, to say later which of them changed.
type key struct {
	h     hash.Hash
	buf   []byte // what h was not given yet
	parts keyParts
}

// keyParts are what went into a key.
type keyParts []keyPart

type keyPart struct {
	name   string
	values []string
}

// parts are short hashes of a key's parts by name: "env", "file run.py".
type parts map[string]string

// listedPart says whether there are many parts of a name, which their first value
// tells apart.
func listedPart(name string) bool {
	return name == "file" || name == "var" || name == "lent" || name == "host" || name == "ulimit"
}

// newKey starts the key of a layer made by a kind of step. The rules for secrets
// are part of it: what was found in a layer is known by its key, here and in
// images that were pushed.
func newKey(kind string) *key {
	k := &key{h: sha256.New()}
	return k.add("version", keyVersion).add("secrets", secrets.Version).add("kind", kind)
}

// add adds a named part. Order counts, of parts and of values.
func (k *key) add(name string, values ...string) *key {
	k.frame(name)
	k.number(len(values))
	for _, v := range values {
		k.frame(v)
	}
	k.parts = append(k.parts, keyPart{name, values})
	return k
}

// sums are the parts for a comparison, which few builds need.
func (l keyParts) sums() parts {
	p := parts{}
	for _, part := range l {
		name := part.name
		if listedPart(name) && len(part.values) > 0 {
			name += " " + part.values[0]
		}
		p.add(name, part.values)
	}
	return p
}

// add adds to a part what comes under its name.
func (p parts) add(name string, values []string) {
	h := sha256.New()
	h.Write([]byte(p[name]))
	for _, v := range values {
		fmt.Fprintf(h, "%d:%s", len(v), v)
	}
	p[name] = hex.EncodeToString(h.Sum(nil)[:8])
}

// changed are the names of the parts in which two keys differ, sorted.
func (p parts) changed(before parts) []string {
	var names []string
	for name, sum := range p {
		if before[name] != sum {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := p[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (k *key) frame(s string) {
	k.number(len(s))
	if len(s) > keyBuffer {
		k.flush()
		_, _ = io.WriteString(k.h, s) // hashes never fail
		return
	}
	k.buf = append(k.buf, s...)
}

func (k *key) number(n int) {
	if len(k.buf) > keyBuffer {
		k.flush()
	}
	k.buf = binary.BigEndian.AppendUint64(k.buf, uint64(n)) //nolint:gosec // a length
}

// keyBuffer is how many bytes are hashed at once, about.
const keyBuffer = 4 << 10

func (k *key) flush() {
	k.h.Write(k.buf)
	k.buf = k.buf[:0]
}

// sum is the key in lower-case hex.
func (k *key) sum() string {
	k.flush()
	return hex.EncodeToString(k.h.Sum(nil))
}
