package layers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
)

// text is a regular file with a content.
func text(p string, mode fs.FileMode, content string) layers.File {
	return layers.File{Path: p, Mode: mode, Size: int64(len(content)), Time: time.Unix(1e9, 0), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

func dir(p string, mode fs.FileMode) layers.File {
	return layers.File{Path: p, Mode: fs.ModeDir | mode, Time: time.Unix(1e9, 0)}
}

func symlink(p, to string) layers.File {
	return layers.File{Path: p, Mode: fs.ModeSymlink | 0o777, Link: to, Time: time.Unix(1e9, 0)}
}

func seq(files ...layers.File) iter.Seq2[layers.File, error] {
	return func(yield func(layers.File, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func tarOf(t *testing.T, files ...layers.File) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := layers.Write(t.Context(), &buf, seq(files...)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func listOf(t *testing.T, files ...layers.File) layers.Listing {
	t.Helper()
	l, err := layers.List(t.Context(), bytes.NewReader(tarOf(t, files...)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestListReadsWhatWriteWrote(t *testing.T) {
	long := strings.Repeat("n", 150) + "/" + strings.Repeat("m", 200)
	got := listOf(t,
		dir("app", 0o777|fs.ModeSticky),
		text("app/a b", 0o4755&0o777|fs.ModeSetuid, "one"),
		layers.File{Path: "app/b", HardLink: true, Link: "app/a b", Mode: 0o755},
		symlink("app/ü", "../x"),
		layers.File{Path: "pipe", Mode: fs.ModeNamedPipe | 0o600, UID: 7, GID: 8},
		layers.File{Path: "tty", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o620, Major: 5, Minor: 1},
		layers.File{Path: "caps", Mode: 0o755, Xattrs: map[string]string{"security.capability": "\x01\x00\xff", "user.overlay.opaque": "y"}},
		text(long, 0o600, "two"),
		layers.Whiteout("app/gone"),
		layers.Opaque("etc"),
	).Entries
	want := []layers.Entry{
		{Path: "app", Mode: fs.ModeDir | fs.ModeSticky | 0o777, Time: 1e9},
		{Path: "app/a b", Mode: fs.ModeSetuid | 0o755, Size: 3, Time: 1e9, Sum: sum("one")},
		{Path: "app/b", Mode: 0o755, HardLink: true, Link: "app/a b"},
		{Path: "app/ü", Mode: fs.ModeSymlink | 0o777, Link: "../x", Time: 1e9},
		{Path: "pipe", Mode: fs.ModeNamedPipe | 0o600, UID: 7, GID: 8},
		{Path: "tty", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o620, Major: 5, Minor: 1},
		{Path: "caps", Mode: 0o755, Xattrs: map[string][]byte{"security.capability": {1, 0, 0xff}}, Sum: sum("")},
		{Path: long, Mode: 0o600, Size: 3, Time: 1e9, Sum: sum("two")},
		{Path: "app/gone", Whiteout: true},
		{Path: "etc", Opaque: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestListingsKeepNamesThatAreNoText(t *testing.T) {
	want := listOf(t, text("a\xffb", 0o600, "1"), symlink("new\nline", "\xfe"), text("plain", 0o600, "2"))
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got layers.Listing
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got.Entries[0].Path != "a\xffb" || got.Entries[1].Link != "\xfe" {
		t.Errorf("got %+v", got.Entries)
	}
}

func TestWriteRefusesWhatIsNotAsAnnounced(t *testing.T) {
	short, long := text("f", 0o644, "abc"), text("f", 0o644, "abc")
	short.Size, long.Size = 4, 2
	for name, f := range map[string]layers.File{"shorter": short, "longer": long} {
		if err := layers.Write(t.Context(), io.Discard, seq(f)); !errors.Is(err, layers.ErrSize) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, p := range []string{"", "/etc/passwd", "../x", ".."} {
		if err := layers.Write(t.Context(), io.Discard, seq(text(p, 0o644, ""))); err == nil {
			t.Errorf("path %q was written", p)
		}
	}
}

func TestWriteStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := layers.Write(ctx, io.Discard, seq(text("f", 0o644, ""))); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestPackGivesTheSameBytesAndDecompressTheSameTar(t *testing.T) {
	data := tarOf(t, text("big", 0o644, strings.Repeat("0123456789abcdef", 1<<18)))
	for _, c := range []layers.Compression{{}, {Name: layers.Gzip, Level: 9}, {Name: layers.Zstd}, {Name: layers.Uncompressed}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var first []byte
			for i := range 3 {
				var out bytes.Buffer
				p, err := new(layers.Packer).Pack(t.Context(), &out, c, func(w io.Writer) error {
					_, err := io.Copy(struct{ io.Writer }{w}, bytes.NewReader(data))
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if p.Size != int64(out.Len()) || p.TarSize != int64(len(data)) {
					t.Errorf("sizes are %d and %d, want %d and %d", p.Size, p.TarSize, out.Len(), len(data))
				}
				if i == 0 {
					first = out.Bytes()
				} else if !bytes.Equal(first, out.Bytes()) {
					t.Error("the bytes differ between runs")
				}
			}
			r, err := layers.Decompress(bytes.NewReader(first))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			back, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(back, data) {
				t.Errorf("decompressed to %d bytes, %v; want %d", len(back), err, len(data))
			}
		})
	}
}

// hashing is a writer that says what was written to it.
type hashing struct {
	bytes.Buffer
	hash v1.Hash
}

func (h *hashing) Digest() v1.Hash { return h.hash }

// TestPackAsksAWriterThatHashes takes what the writer says for the digest.
func TestPackAsksAWriterThatHashes(t *testing.T) {
	out := hashing{hash: v1.Hash{Algorithm: "sha256", Hex: "what it says"}}
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, "tar")
		return err
	}
	p, err := new(layers.Packer).Pack(t.Context(), &out, layers.Compression{}, write)
	if err != nil {
		t.Fatal(err)
	}
	want, err := new(layers.Packer).Pack(t.Context(), io.Discard, layers.Compression{}, write)
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest != out.hash || p.DiffID != want.DiffID || p.Size != want.Size || int64(out.Len()) != want.Size {
		t.Errorf("got %+v, want %+v", p, want)
	}
}
