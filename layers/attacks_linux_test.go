package layers_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/kanso-build/kanso/layers"
)

// TestAttacksOnThePlace are layers that want to write, link or change the mode
// of something outside. It does not matter whether they are refused.
func TestAttacksOnThePlace(t *testing.T) {
	up := strings.Repeat("../", 40)
	chain := []tar.Header{soft("l0", "../../beside")}
	for i := range 300 {
		chain = append(chain, soft(fmt.Sprint("l", i+1), fmt.Sprint("l", i)))
	}
	for name, headers := range map[string][]tar.Header{
		"a name that climbs":                        {evil("../beside/victim")},
		"a name that climbs two":                    {evil("../../beside/victim")},
		"a name that climbs far":                    {evil(up + "beside/victim")},
		"a name that climbs from within":            {folder("d"), evil("d/../../../beside/victim")},
		"an absolute name":                          {evil("/beside/victim")},
		"an absolute name with slashes":             {evil("////beside////victim")},
		"an absolute name that climbs":              {evil("/../../beside/victim")},
		"a name of dots":                            {evil("./.././../beside/./victim")},
		"a backslash":                               {evil(`..\..\beside\victim`)},
		"a link that climbs":                        {soft("l", "../../beside"), evil("l/victim")},
		"a link that climbs far":                    {soft("l", up+"beside"), evil("l/victim")},
		"an absolute link":                          {soft("l", "/beside"), evil("l/victim")},
		"a link to the parent":                      {soft("l", ".."), evil("l/beside/victim")},
		"a link to the root":                        {soft("l", "/"), evil("l/../beside/victim")},
		"a chain of links":                          {soft("a", "../.."), soft("b", "a"), soft("c", "b/beside"), evil("c/victim")},
		"a chain of three hundred":                  append(chain, evil("l300/victim")),
		"a link through a link":                     {soft("a", ".."), soft("a/b", ".."), evil("a/b/beside/victim")},
		"links in a loop":                           {soft("a", "b"), soft("b", "a"), evil("a/victim")},
		"a link to itself":                          {soft("a", "a"), evil("a/victim")},
		"a link to itself below":                    {soft("a", "a/a"), evil("a/a/victim")},
		"a file over a link":                        {soft("victim", "../../beside/victim"), evil("victim")},
		"a directory over a link":                   {soft("d", "../../beside"), folder("d"), evil("d/victim")},
		"a directory's mode through a link":         {soft("d", "../../beside"), with(folder("d"), func(h *tar.Header) { h.Mode = 0o777 })},
		"a link over a directory":                   {folder("d"), evil("d/x"), soft("d", "../../beside"), evil("d/victim")},
		"a link over a directory, with a slash":     {folder("d"), soft("d/", "../../beside"), evil("d/victim")},
		"a link over a file":                        {evil("f"), soft("f", "../../beside/victim"), evil("f")},
		"a link changed between":                    {soft("d", "."), evil("d/x"), soft("d", "../../beside"), evil("d/victim")},
		"a hard link that climbs":                   {hard("h", "../../beside/victim"), evil("h")},
		"an absolute hard link":                     {hard("h", "/beside/victim"), evil("h")},
		"a hard link through a link":                {soft("l", "../../beside"), hard("h", "l/victim"), evil("h")},
		"a hard link to a link":                     {soft("l", "../../beside/victim"), hard("h", "l"), evil("h")},
		"a hard link to a link, as a directory":     {soft("l", "../../beside"), hard("h", "l"), evil("h/victim")},
		"a hard link to a directory":                {folder("d"), hard("h", "d"), evil("h/x")},
		"a hard link to the root":                   {hard("h", "."), evil("h/victim")},
		"a hard link to itself":                     {hard("h", "h")},
		"a hard link to what comes later":           {hard("h", "later"), evil("later")},
		"a hard link into itself":                   {evil("a"), hard("a/b", "a")},
		"a hard link that changes an owner outside": {soft("l", "../../beside/victim"), with(hard("h", "l"), func(h *tar.Header) { h.Uid, h.Gid = 7, 7 })},
		"a whiteout that climbs":                    {evil("../../beside/.wh.victim")},
		"a whiteout through a link":                 {soft("l", "../../beside"), evil("l/.wh.victim")},
		"a whiteout of the parent":                  {evil(".wh...")},
		"a whiteout of itself":                      {evil(".wh..")},
		"a whiteout of nothing":                     {evil(".wh.")},
		"a whiteout of a whiteout":                  {evil(".wh..wh.x")},
		"an opaque directory through a link":        {soft("l", "../../beside"), evil("l/.wh..wh..opq")},
		"an opaque root":                            {evil("x"), evil(".wh..wh..opq")},
		"a whiteout that is a directory":            {folder(".wh.d"), evil(".wh.d/x")},
		"a whiteout that is a link":                 {soft(".wh.l", "../../beside"), evil(".wh.l/victim")},
		"a pipe on the way":                         {at(tar.TypeFifo, "p", ""), evil("p/x")},
		"a pipe that is written to":                 {at(tar.TypeFifo, "p", ""), evil("p")},
		"a device on the way":                       {with(at(tar.TypeBlock, "d", ""), func(h *tar.Header) { h.Devmajor, h.Devminor = 8, 0 }), evil("d/x")},
		"a device that is written to":               {with(at(tar.TypeChar, "d", ""), func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 }), evil("d")},
		"a device of zeroes":                        {at(tar.TypeChar, "z", ""), folder("d"), at(tar.TypeChar, "d/z", "")},
		"setuid through a link":                     {soft("l", "../../beside/victim"), with(hard("h", "l"), func(h *tar.Header) { h.Mode = 0o4777 })},
		"the root as a link":                        {soft(".", "../../beside"), evil("victim")},
		"the root as a file":                        {evil("."), evil("victim")},
		"the root as a whiteout":                    {folder("."), evil("..wh.")},
		"the owners' table":                         {evil("../owners.json"), soft("../owners.json", "../beside/victim")},
		"a PAX name that climbs":                    {with(evil("x"), func(h *tar.Header) { h.Name = up + "beside/" + strings.Repeat("n", 300) })},
		"an attribute of overlayfs": {with(folder("d"), func(h *tar.Header) {
			h.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/beside", "SCHILY.xattr.user.overlay.redirect": "/beside"}
		}), evil("d/victim")},
	} {
		t.Run(name, func(t *testing.T) {
			list, unpack, archive := everything(t, raw(t, headers...))
			t.Log(list, unpack, archive)
		})
	}
}

// TestAttacksOnTheReader are layers whose bytes lie. Each is an error wherever
// it is read, before it costs much.
func TestAttacksOnTheReader(t *testing.T) {
	one := raw(t, evil("a"), evil("b"))
	size := func(s string) []byte { return patched(one, func(h []byte) { copy(h[124:136], s) }) }
	many := make([]tar.Header, 2001)
	for i := range many {
		many[i] = soft(fmt.Sprint(i), "x")
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a negative size":                {size("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), "invalid tar header"},
		"a size of rubbish":              {size("zzzzzzzzzzz\x00"), "invalid tar header"},
		"a size that is larger":          {size("00000777777\x00"), "unexpected EOF"},
		"a size of exabytes":             {size("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), "more than 1048576 bytes"},
		"a size that is no multiple":     {size("00000000005\x00")[:1024+5], "unexpected EOF"},
		"a checksum that is wrong":       {bytes.Replace(one, []byte("a\x00"), []byte("c\x00"), 1), "invalid tar header"},
		"an end in the middle":           {one[:514], "unexpected EOF"},
		"an end in a header":             {one[:300], "unexpected EOF"},
		"rubbish after the first entry":  {append(bytes.Clone(one[:1024]), bytes.Repeat([]byte("x"), 1024)...), "invalid tar header"},
		"an unknown type":                {patched(one, func(h []byte) { h[156] = 'Z' }), "unknown type"},
		"a name of a megabyte":           {raw(t, evil(strings.Repeat("n", 1<<20-100))), ""},
		"a name of 5000 bytes":           {raw(t, evil(strings.Repeat("n/", 2500)+"x")), "name of more than 4096 bytes"},
		"a link of 5000 bytes":           {raw(t, soft("l", strings.Repeat("n/", 2500)+"x")), "name of more than 4096 bytes"},
		"too many entries":               {raw(t, many...), "more than 2000 entries"},
		"too many bytes":                 {raw(t, with(evil("a"), func(h *tar.Header) { h.Size = 1<<20 + 1 })), "more than 1048576 bytes"},
		"too many bytes in all":          {raw(t, with(evil("a"), func(h *tar.Header) { h.Size = 1 << 19 }), with(evil("b"), func(h *tar.Header) { h.Size = 1<<19 + 1 })), "more than 1048576 bytes"},
		"a PAX record that is too short": {pax(t, "5 x=1\n"), "invalid tar header"},
		"a PAX record without a length":  {pax(t, "x=1\n"), "invalid tar header"},
		"a PAX record of gigabytes":      {pax(t, "9999999999 path=x\n"), "invalid tar header"},
		"a PAX size that is negative":    {pax(t, "11 size=-5\n"), "invalid tar header"},
		"a PAX path with a zero byte":    {pax(t, "13 path=a\x00b\n"), "invalid tar header"},
		"a sparse map of rubbish":        {pax(t, "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"), ""},
		"a sparse file of exabytes":      {sparse(t, 1<<62), "more than 1048576 bytes"},
		"a negative owner":               {raw(t, with(evil("a"), func(h *tar.Header) { h.Uid = -1 })), "negative owner"},
	} {
		t.Run(name, func(t *testing.T) {
			list, unpack, _ := everything(t, c.data)
			for what, err := range map[string]error{"listed": list, "unpacked": unpack} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v; want %q", what, err, c.want)
				}
			}
		})
	}
}

// TestAttacksByCompression are streams that unpack to far more than they are,
// or to nothing.
func TestAttacksByCompression(t *testing.T) {
	bomb := raw(t, with(evil("a"), func(h *tar.Header) { h.Size = 64 << 20 }))
	gz := func(data []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(data)
		w.Close()
		return b.Bytes()
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := gz(raw(t, evil("a"), evil("b")))
	window := bytes.Clone(enc.EncodeAll(bytes.Repeat([]byte("x"), 1000), nil))
	window[4], window[5] = 0, 0xff // no single segment, and a window of terabytes
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a gzip bomb":                  {gz(bomb), "more than 1048576 bytes"},
		"a zstd bomb":                  {enc.EncodeAll(bomb, nil), "more than 1048576 bytes"},
		"a bomb in a bomb":             {gz(gz(bomb)), "invalid tar header"},
		"a zstd bomb in gzip":          {gz(enc.EncodeAll(bomb, nil)), "invalid tar header"},
		"gzip that is cut":             {whole[:len(whole)/2], "unexpected EOF"},
		"gzip with a wrong sum":        {append(bytes.Clone(whole[:len(whole)-8]), "XXXXXXXX"...), "checksum"},
		"gzip of nothing":              {[]byte("\x1f\x8b"), "EOF"},
		"zstd of nothing":              {[]byte("\x28\xb5\x2f\xfd"), "EOF"},
		"zstd with a window too large": {window, "window"},
		"zstd called gzip":             {append([]byte("\x1f\x8b"), enc.EncodeAll(bomb, nil)...), "invalid header"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := layers.Decompress(bytes.NewReader(c.data))
			if err == nil {
				_, err = layers.ListWithin(t.Context(), r, small())
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				err = errors.Join(err, r.Close())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

// TestOddLayersThatAreLegal have to go on working.
func TestOddLayersThatAreLegal(t *testing.T) {
	for name, c := range map[string]struct {
		headers []tar.Header
		want    string // a file that is there then
	}{
		"usr-merge":                        {[]tar.Header{folder("usr"), folder("usr/bin"), soft("bin", "usr/bin"), evil("bin/sh")}, "usr/bin/sh"},
		"an absolute link as a directory":  {[]tar.Header{folder("usr"), soft("lib", "/usr"), evil("lib/x")}, "usr/x"},
		"no entries for parents":           {[]tar.Header{evil("a/b/c/d")}, "a/b/c/d"},
		"names with ./":                    {[]tar.Header{folder("./"), folder("./a"), evil("./a/b")}, "a/b"},
		"a file twice":                     {[]tar.Header{evil("a"), evil("a")}, "a"},
		"a directory after what is in it":  {[]tar.Header{evil("d/x"), with(folder("d"), func(h *tar.Header) { h.Mode = 0o555 })}, "d/x"},
		"a directory that nobody may open": {[]tar.Header{with(folder("d"), func(h *tar.Header) { h.Mode = 0 }), evil("d/x"), evil("y")}, "y"},
		"a link that leads nowhere":        {[]tar.Header{soft("l", "/nowhere"), evil("y")}, "y"},
		"a name of 255 bytes":              {[]tar.Header{evil(strings.Repeat("n", 255))}, strings.Repeat("n", 255)},
		"a name that is no text":           {[]tar.Header{evil("\xff\xfe")}, "\xff\xfe"},
		"a name with a newline":            {[]tar.Header{evil("a\nb")}, "a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			data := raw(t, c.headers...)
			if list, unpack, _ := everything(t, data); list != nil || unpack != nil {
				t.Fatal(list, unpack)
			}
			tree := unpack(t, data)
			if _, err := os.Lstat(filepath.Join(layers.TreeFiles(tree), c.want)); err != nil {
				t.Error(err)
			}
		})
	}
}
