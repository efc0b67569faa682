package layers_test

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/kanso-build/kanso/layers"
)

// listArchive lists a compressed tar.
func listArchive(ctx context.Context, data []byte) (layers.Listing, bool, error) {
	r, isTar, err := layers.OpenArchive(bytes.NewReader(data))
	if err != nil || !isTar {
		return layers.Listing{}, isTar, err
	}
	defer r.Close()
	list, err := layers.List(ctx, r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return list, true, err
}

func xzOf(t *testing.T, c xz.WriterConfig, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := c.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestArchivesAreKnownByTheirContent(t *testing.T) {
	plain := tarOf(t, text("f", 0o600, strings.Repeat("content ", 1<<16)), text("g", 0o600, "end"))
	compressed := map[string][]byte{"plain": plain}
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(plain)
	z.Close()
	compressed["gzip"] = bytes.Clone(buf.Bytes())
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	compressed["zstd"] = enc.EncodeAll(plain, nil)
	for name, check := range map[string]byte{"crc32": xz.CRC32, "crc64": xz.CRC64, "sha256": xz.SHA256} {
		compressed["xz "+name] = xzOf(t, xz.WriterConfig{CheckSum: check}, plain)
	}
	compressed["xz blocks"] = xzOf(t, xz.WriterConfig{BlockSize: 1000}, plain)
	compressed["xz streams"] = append(append(xzOf(t, xz.WriterConfig{}, plain[:512]), 0, 0, 0, 0), xzOf(t, xz.WriterConfig{NoCheckSum: true}, plain[512:])...)
	if exe, err := exec.LookPath("bzip2"); err == nil { // there is no Go that writes it
		cmd := exec.CommandContext(t.Context(), exe, "-c")
		cmd.Stdin = bytes.NewReader(plain)
		if compressed["bzip2"], err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range compressed {
		list, isTar, err := listArchive(t.Context(), data)
		if err != nil || !isTar || len(list.Entries) != 2 || list.Entries[1].Path != "g" || list.Entries[1].Sum != sum("end") {
			t.Errorf("%s: %+v, %v, %v", name, list, isTar, err)
		}
	}
	for name, data := range map[string]string{"text": strings.Repeat("hello ", 200), "empty": "", "short": "x", "gzip of text": "\x1f\x8b"} {
		if _, isTar, _ := listArchive(t.Context(), []byte(data)); isTar {
			t.Errorf("%s is taken for a tar", name)
		}
	}
}

func TestAnXzFileThatWantsGigabytesIsRefused(t *testing.T) {
	data := xzOf(t, xz.WriterConfig{DictCap: 1 << 30}, tarOf(t, text("f", 0o600, "x")))
	if _, _, err := listArchive(t.Context(), data); err == nil || !strings.Contains(err.Error(), "of memory") {
		t.Errorf("got %v", err)
	}
	// A later block may not want more, either.
	small := xzOf(t, xz.WriterConfig{}, tarOf(t, text("f", 0o600, "x"))[:512])
	if _, _, err := listArchive(t.Context(), append(small, data...)); err == nil || !strings.Contains(err.Error(), "of memory") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenXzFilesAreErrors(t *testing.T) {
	whole := xzOf(t, xz.WriterConfig{CheckSum: xz.CRC64}, tarOf(t, text("f", 0o600, strings.Repeat("abc", 1000))))
	for n := range len(whole) - 1 {
		if _, isTar, err := listArchive(t.Context(), whole[:n]); err == nil && isTar {
			t.Errorf("%d bytes of %d were taken for the whole", n, len(whole))
		}
	}
	changed := bytes.Clone(whole)
	changed[len(whole)-40] ^= 1
	if _, _, err := listArchive(t.Context(), changed); err == nil {
		t.Error("a changed byte was not noticed")
	}
}
