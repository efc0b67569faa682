package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// A sum reads and hashes.
type sum struct {
	io.Reader
	h hash.Hash
}

func newSum(r io.Reader) sum {
	h := sha256.New()
	return sum{io.TeeReader(r, h), h}
}

// digest is that of what was read.
func (s sum) digest() string { return "sha256:" + hex.EncodeToString(s.h.Sum(nil)) }
