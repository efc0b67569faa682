package oci

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// keyVersion is part of every key. Raise it when layers come out differently.
const keyVersion = "1"

// A key hashes what a layer is made from. Every part goes in with its name and
// its length, so that ("ab", "c") and ("a", "bc") differ.
type key struct{ h hash.Hash }

// newKey starts the key of a layer made by a kind of step.
func newKey(kind string) *key {
	k := &key{sha256.New()}
	return k.add("version", keyVersion).add("kind", kind)
}

// add adds a named part. Order counts, of parts and of values.
func (k *key) add(name string, values ...string) *key {
	k.frame(name)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(values)))
	k.h.Write(n[:])
	for _, v := range values {
		k.frame(v)
	}
	return k
}

func (k *key) frame(s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	k.h.Write(n[:])
	k.h.Write([]byte(s))
}

// sum is the key in lower-case hex.
func (k *key) sum() string { return hex.EncodeToString(k.h.Sum(nil)) }
