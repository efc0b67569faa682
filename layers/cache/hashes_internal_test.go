package cache

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func manyHashes(n int) map[string]remembered {
	all := map[string]remembered{}
	for i := range n {
		r := remembered{stamp: stamp{Dev: 1, Ino: uint64(i) << 20, Size: int64(i), Mtime: int64(i) * 1e9, Ctime: -int64(i)}} //nolint:gosec // small
		r.sum[i%len(r.sum)] = byte(i)
		all[fmt.Sprintf("/home/user/project/src/package_%03d/module_%06d.py", i%300, i)] = r
	}
	return all
}

func TestHashesComeBackAsTheyWere(t *testing.T) {
	all := manyHashes(1000)
	all["odd \xff\n"], all[""] = remembered{}, remembered{stamp: stamp{Size: -1}}
	data := string(encodeHashes(all))
	got, ok := decodeHashes(data)
	if d := cmp.Diff(all, got, cmp.AllowUnexported(remembered{})); !ok || d != "" {
		t.Errorf("ok %v, differs: %s", ok, d)
	}
	for _, bad := range []string{"", "x", hashesFormat[1:], data[:len(data)-1], data[:len(data)-40], hashesFormat + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a"} {
		if _, ok := decodeHashes(bad); ok {
			t.Errorf("%d bytes that are no such file were read", len(bad))
		}
	}
	if none, ok := decodeHashes(hashesFormat); !ok || len(none) != 0 {
		t.Errorf("an empty file has %d entries, %v", len(none), ok)
	}
}

// BenchmarkHashes reads what is remembered of 100,000 files.
func BenchmarkHashes(b *testing.B) {
	data := encodeHashes(manyHashes(100_000))
	for b.Loop() {
		if known, ok := decodeHashes(string(data)); !ok || len(known) != 100_000 {
			b.Fatal(len(known), ok)
		}
	}
}
