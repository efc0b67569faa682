package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// An inode is what an image has at one or more paths.
type inode struct {
	kind     byte
	mode     int64
	uid, gid int
	content  string // what is shown of it
	xattrs   string
}

func (n inode) String() string {
	kind := map[byte]string{tar.TypeReg: "file", tar.TypeDir: "dir", tar.TypeSymlink: "link", tar.TypeFifo: "fifo"}[n.kind]
	if kind == "" {
		kind = "type " + string(n.kind)
	}
	s := fmt.Sprintf("%s %04o %d:%d", kind, n.mode, n.uid, n.gid)
	if n.kind == tar.TypeSymlink {
		s = fmt.Sprintf("%s %d:%d", kind, n.uid, n.gid)
	}
	if n.content != "" {
		s += " " + n.content
	}
	return s + n.xattrs
}

// A fileTree is the files of an image by path, without those that differ in
// nothing but time. Two paths with the same pointer are one file.
type fileTree map[string]*inode

// apply puts a layer on the tree, and returns the topmost paths that it removes.
func (f fileTree) apply(r io.Reader) ([]string, error) {
	lower := maps.Clone(f)
	upper := fileTree{}
	removed := map[string]bool{}
	remove := func(below string) {
		for p := range lower {
			if p == below || strings.HasPrefix(p, below+"/") {
				delete(f, p)
				removed[p] = true
			}
		}
	}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + h.Name)[1:]
		dir, base := path.Split(name)
		switch gone, whiteout := strings.CutPrefix(base, ".wh."); {
		case name == "":
		case base == ".wh..wh..opq":
			for p := range lower {
				if strings.HasPrefix(p, dir) {
					remove(p)
				}
			}
		case whiteout:
			remove(dir + gone)
		case h.Typeflag == tar.TypeLink:
			target := path.Clean("/" + h.Linkname)[1:]
			if upper[target] == nil {
				upper[target] = lower[target]
			}
			if upper[target] == nil {
				return nil, fmt.Errorf("%s is a link to %s, which is not there", name, target)
			}
			upper[name] = upper[target]
		default:
			upper[name], err = newInode(h, t)
			if err != nil {
				return nil, err
			}
		}
	}
	for name, n := range upper {
		if old := f[name]; old != nil && n.kind != tar.TypeDir && old.kind == tar.TypeDir {
			remove(name)
		}
	}
	maps.Copy(f, upper)
	var topmost []string
	for _, p := range slices.Sorted(maps.Keys(removed)) {
		if dir := path.Dir(p); f[p] == nil && (!removed[dir] || f[dir] != nil) {
			topmost = append(topmost, p)
		}
	}
	return topmost, nil
}

func newInode(h *tar.Header, r io.Reader) (*inode, error) {
	n := &inode{kind: h.Typeflag, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}
	switch h.Typeflag {
	case tar.TypeSymlink:
		n.content = "-> " + strconv.Quote(h.Linkname)
	case tar.TypeReg:
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		n.content = fmt.Sprintf("%d %.6x", len(data), sha256.Sum256(data))
		if s := string(data); len(s) < 80 && strconv.Quote(s) == `"`+strings.ReplaceAll(strings.ReplaceAll(s, `"`, `\"`), "\n", `\n`)+`"` {
			n.content = strconv.Quote(s)
		}
	case tar.TypeChar, tar.TypeBlock:
		n.content = fmt.Sprintf("%d:%d", h.Devmajor, h.Devminor)
	}
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			n.xattrs += fmt.Sprintf(" %s=%q", name, h.PAXRecords[k])
		}
	}
	return n, nil
}

// show lists what a tree has more than, or different from, the one it is based on.
func (f fileTree) show(base fileTree) []string {
	var lines []string
	names := map[*inode]string{}
	for _, p := range slices.Sorted(maps.Keys(f)) {
		n, old := f[p], base[p]
		first, known := names[n]
		switch {
		case known:
		default:
			names[n] = p
		}
		shown := strconv.Quote(p)
		if shown == `"`+p+`"` && !strings.Contains(p, " ") {
			shown = p
		}
		switch {
		case known && (old == nil || base[first] != old):
			lines = append(lines, fmt.Sprintf("%s = %s", shown, first))
		case old == nil || *old != *n:
			lines = append(lines, fmt.Sprintf("%s %s", shown, n))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(base)) {
		if f[p] == nil && (f[path.Dir(p)] != nil || path.Dir(p) == ".") {
			lines = append(lines, "gone "+p)
		}
	}
	return lines
}

// dockerBases are the images that cases begin with.
type dockerBases struct {
	list   []*dockerBase
	byName map[string]*dockerBase
}

type dockerBase struct {
	name        string
	dir, digest string // the OCI layout and the image in it
	chain       []v1.Hash
	tree        func() (fileTree, error)
}

// readBases finds the bases in OCI layouts; dirs names those that are of one image.
func readBases(t *testing.T, dirs map[string]string) *dockerBases {
	t.Helper()
	b := &dockerBases{byName: map[string]*dockerBase{}}
	for _, only := range slices.Sorted(maps.Keys(dirs)) {
		index, err := layout.ImageIndexFromPath(dirs[only])
		if err != nil {
			t.Fatalf("no bases: %v\nhint: testdata/dockerfile/bases.sh and testdata/e2e/base.sh make them", err)
		}
		m, err := index.IndexManifest()
		must(t, err)
		for _, d := range m.Manifests {
			name := d.Annotations["org.opencontainers.image.ref.name"]
			if only != "" {
				name = only
			}
			if b.byName[name] == nil {
				one, err := readBase(name, dirs[only], d.Digest.String())
				must(t, err)
				b.list, b.byName[name] = append(b.list, one), one
			}
		}
	}
	return b
}

func readBase(name, dir, digest string) (*dockerBase, error) {
	img, err := imageIn(dir, digest)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	return &dockerBase{name, dir, digest, config.RootFS.DiffIDs, sync.OnceValues(func() (fileTree, error) {
		tree := fileTree{}
		_, err := tree.applyAll(img, 0)
		return tree, err
	})}, nil
}

// below is the base that an image's layers begin with, or an empty one.
func (b *dockerBases) below(layers []v1.Hash) *dockerBase {
	found := &dockerBase{name: "scratch", tree: func() (fileTree, error) { return fileTree{}, nil }}
	for _, one := range b.list {
		if n := len(one.chain); n > len(found.chain) && n <= len(layers) && slices.Equal(one.chain, layers[:n]) {
			found = one
		}
	}
	return found
}

// imageIn is an image of a layout: that of the digest, else the first, of an index the first.
func imageIn(dir, digest string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	for {
		m, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		if len(m.Manifests) == 0 {
			return nil, errors.New("an empty index")
		}
		i := max(0, slices.IndexFunc(m.Manifests, func(d v1.Descriptor) bool { return d.Digest.String() == digest }))
		if d := m.Manifests[i]; d.MediaType.IsImage() {
			return index.Image(d.Digest)
		}
		if index, err = index.ImageIndex(m.Manifests[i].Digest); err != nil {
			return nil, err
		}
	}
}

// applyAll puts an image's layers on the tree, from one on; it returns what they remove of each other.
func (f fileTree) applyAll(img v1.Image, from int) ([]string, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, l := range layers[from:] {
		r, err := l.Uncompressed()
		if err != nil {
			return nil, err
		}
		gone, err := f.apply(r)
		_ = r.Close()
		if err != nil {
			return nil, err
		}
		removed = append(removed, gone...)
	}
	return removed, nil
}

// answer describes an image: its configuration, then what it has that its base has not.
func (b *dockerBases) answer(img v1.Image) (string, error) {
	raw, err := img.RawConfigFile()
	if err != nil {
		return "", err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	base := b.below(config.RootFS.DiffIDs)
	lower, err := base.tree()
	if err != nil {
		return "", err
	}
	tree := maps.Clone(lower)
	removed, err := tree.applyAll(img, len(base.chain))
	if err != nil {
		return "", err
	}
	settings, err := showConfig(raw)
	if err != nil {
		return "", err
	}
	lines := append([]string{"base " + base.name}, settings...)
	for _, p := range removed {
		if lower[p] == nil {
			lines = append(lines, "whiteout "+p)
		}
	}
	return strings.Join(append(lines, tree.show(lower)...), "\n") + "\n", nil
}

// showConfig lists the settings of an image's configuration, but for those that
// nearly every image has.
func showConfig(raw []byte) ([]string, error) {
	var about struct {
		OS, Architecture, Variant, Author string
		Config                            map[string]any
	}
	if err := json.Unmarshal(raw, &about); err != nil {
		return nil, err
	}
	var lines []string
	if p := strings.TrimSuffix(about.OS+"/"+about.Architecture+"/"+about.Variant, "/"); p != "linux/amd64" {
		lines = append(lines, "platform "+p)
	}
	if about.Author != "" {
		lines = append(lines, "author "+about.Author)
	}
	usual := map[string]string{
		"Env": `["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]`, "Cmd": `["sh"]`,
	}
	settings := slices.Collect(maps.Keys(usual))
	for k := range about.Config {
		if usual[k] == "" && k != "ArgsEscaped" {
			settings = append(settings, k)
		}
	}
	slices.Sort(settings)
	for _, k := range settings {
		value, err := oneLine(about.Config[k])
		switch empty := slices.Contains([]string{`""`, "null", "{}", "[]"}, value); {
		case err != nil:
			return nil, err
		case empty && usual[k] != "":
			lines = append(lines, "no "+k)
		case !empty && value != usual[k]:
			lines = append(lines, k+" "+value)
		}
	}
	return lines, nil
}

func oneLine(value any) (string, error) {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return strings.TrimSpace(text.String()), err
}
