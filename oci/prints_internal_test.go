package oci

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// TestPrintsTellContentsApart reads a content that a fingerprint is known of, as it
// was and changed: in one bit, in its length, in its order.
func TestPrintsTellContentsApart(t *testing.T) {
	const name = "of the content"
	r := rand.New(rand.NewPCG(13, 14))
	content := make([]byte, 3*printSize)
	for i := range content {
		content[i] = byte(r.IntN(256))
	}
	var b Builder
	print := b.prints.begin()
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 1+r.IntN(100_000))
		_, _ = print.Write(rest[:n])
		rest = rest[n:]
	}
	b.prints.add(name, print)
	turned := bytes.Clone(content)
	turned[r.IntN(len(turned))] ^= 1
	swapped := append(bytes.Clone(content[64<<10:128<<10]), content[:64<<10]...)
	for what, now := range map[string][]byte{
		"the same": content, "a bit": turned, "shorter": content[:len(content)-1], "longer": append(bytes.Clone(content), 0),
		"blocks": append(swapped, content[128<<10:]...), "nothing": nil,
	} {
		f, err := b.hashed(io.NopCloser(bytes.NewReader(now)), nil, "file", name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(struct{ io.Writer }{io.Discard}, f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); errors.Is(err, ErrChanged) == (what == "the same") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
