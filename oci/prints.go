package oci

import (
	"hash/maphash"
	"sync"
)

// prints are fingerprints of contents that a build hashed itself: whether a file is
// still what it was is asked of them, in a fifth of the time that its sha256 takes.
// They are 64 bits with a key that nobody knows and do not outlive the process;
// nothing is named by them. The zero value is ready.
type prints struct {
	once  sync.Once
	seed  maphash.Seed
	known sync.Map // uint64 by sha256, in hexadecimal
}

// printSize is the size in bytes from which a content has one: less is hashed in no
// time.
const printSize = 1 << 20

// begin begins a fingerprint.
func (p *prints) begin() *maphash.Hash {
	p.once.Do(func() { p.seed = maphash.MakeSeed() })
	h := &maphash.Hash{}
	h.SetSeed(p.seed)
	return h
}

// add notes the fingerprint of a content.
func (p *prints) add(sum string, h *maphash.Hash) { p.known.Store(sum, h.Sum64()) }

// of is the fingerprint of a content, if it is known.
func (p *prints) of(sum string) (print uint64, ok bool) {
	v, _ := p.known.Load(sum)
	print, ok = v.(uint64)
	return print, ok
}
