package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/debian"
	"github.com/kanso-build/kanso/layers/python"
)

// packagesKind is the kind of value under which the store keeps which packages a
// layer has, by its diff id.
const packagesKind = "packages-1"

// A Package is one that an image has, by what its installer wrote down.
type Package struct {
	Type    string `json:"type"` // "pypi" or "deb", as package URLs have it
	Name    string `json:"name"`
	Version string `json:"version"`
	// Architecture and Source, what it was built from if that has another name,
	// are a Debian package's.
	Architecture string `json:"architecture,omitempty"`
	Source       string `json:"source,omitempty"`
	// Expression is the licence in SPDX's language, License whatever else it says.
	Expression string `json:"expression,omitempty"`
	License    string `json:"license,omitempty"`
	// Path is the file that says so, and Layer the diff id of the layer it is in.
	Path  string `json:"path"`
	Layer string `json:"-"`
	// Record is the sha256 of RECORD, which has those of all files of a Python
	// distribution.
	Record string `json:"record,omitempty"`
	// Archive is the sha256 of what it was installed from, where that stands
	// somewhere (PyPA specification "Recording the Direct URL Origin").
	Archive string `json:"archive,omitempty"`

	hashes []string // one of these its archive has, see [Builder.addHashes]
}

// packagesIn are the packages of one layer, and what it deletes.
type packagesIn struct {
	Packages []Package `json:"packages,omitempty"`
	Distro   string    `json:"distro,omitempty"` // as os-release calls itself
	Gone     []string  `json:"gone,omitempty"`
	Opaque   []string  `json:"opaque,omitempty"`
}

// An Inventory is what an image has of packages.
type Inventory struct {
	// Packages are sorted by type, name and path.
	Packages []Package
	// Distro is the ID of os-release ("debian"); empty if no layer that was looked
	// at says.
	Distro string
	// Added says that the base's layers were not looked at.
	Added bool
}

// Inventory returns the packages that an image has. If added is set those of the
// base's layers are left out, which then are not read. Layers that were looked at
// once are not read again.
func (b *Builder) Inventory(ctx context.Context, img *Image, added bool) (Inventory, error) {
	out := Inventory{Added: added}
	st, err := newState(Base{Image: img.Image, Ref: "image"}, b.Created)
	if err != nil {
		return out, err
	}
	list := st.layers
	if added {
		own, err := img.Base.Image.Layers()
		if err != nil {
			return out, fmt.Errorf("read layers of base %s: %w", img.Base.Ref, err)
		}
		list = list[min(len(own), len(list)):]
	}
	seen := map[string][]Package{} // by path
	for _, l := range list {
		in, err := b.packages(ctx, l)
		if err != nil {
			return out, err
		}
		in.apply(seen, l.diffID.String())
		out.Distro = cmp.Or(in.Distro, out.Distro)
	}
	for _, found := range seen {
		out.Packages = append(out.Packages, found...)
	}
	slices.SortFunc(out.Packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name), strings.Compare(a.Architecture, b.Architecture), strings.Compare(a.Path, b.Path))
	})
	return out, nil
}

// apply puts the packages of a layer over those of the layers below.
func (in packagesIn) apply(seen map[string][]Package, diffID string) {
	for p := range seen {
		under := func(dir string) bool { return dir == "." || strings.HasPrefix(p, dir+"/") }
		if slices.ContainsFunc(in.Gone, func(g string) bool { return g == p || under(g) }) || slices.ContainsFunc(in.Opaque, under) {
			delete(seen, p)
		}
	}
	fresh := map[string]bool{}
	for _, found := range in.Packages {
		if !fresh[found.Path] {
			fresh[found.Path], seen[found.Path] = true, nil
		}
		found.Layer = diffID
		seen[found.Path] = append(seen[found.Path], found)
	}
}

// packages returns the packages of a layer, which is read if nobody did yet.
func (b *Builder) packages(ctx context.Context, l laid) (packagesIn, error) {
	var in packagesIn
	data, ok, err := b.Store.Value(packagesKind, l.diffID.String())
	if err != nil {
		return in, fmt.Errorf("packages of layer %s: %w", l.diffID, err)
	}
	if ok && json.Unmarshal(data, &in) == nil {
		return in, nil
	}
	r, err := b.uncompressed(ctx, l)
	if err != nil {
		return in, fmt.Errorf("packages of layer %s: %w", l.diffID, err)
	}
	defer r.Close()
	if in, err = readPackages(ctx, r); err == nil {
		err = finish(r)
	}
	if err == nil {
		if data, err = json.Marshal(in); err == nil {
			err = b.Store.PutValue(packagesKind, l.diffID.String(), data)
		}
	}
	if err != nil {
		return in, fmt.Errorf("packages of layer %s: %w", l.diffID, err)
	}
	return in, nil
}

// readPackages reads the packages of a layer, an uncompressed tar.
func readPackages(ctx context.Context, r io.Reader) (packagesIn, error) {
	var in packagesIn
	dists := map[string]Package{}     // by the directory that describes them
	records := map[string][2]string{} // RECORD and archive, likewise
	err := layers.Each(ctx, r, func(e layers.Entry, content io.Reader) error {
		dir := path.Dir(e.Path)
		switch {
		case e.Opaque:
			in.Opaque = append(in.Opaque, e.Path)
		case e.Whiteout:
			in.Gone = append(in.Gone, e.Path)
		case !e.Mode.IsRegular() || e.HardLink:
		case python.IsMetadata(e.Path):
			m, err := python.ReadMetadata(content)
			if err == nil && m.Name != "" {
				dists[dir] = Package{Type: "pypi", Name: python.Normalized(m.Name), Version: m.Version, Expression: m.Expression, License: m.License, Path: e.Path}
			}
		case python.IsMetadata(path.Join(dir, "METADATA")):
			return describe(records, dir, path.Base(e.Path), content)
		case e.Path == "usr/lib/os-release" || e.Path == "etc/os-release":
			in.Distro = distroIn(content)
		case debian.IsDatabase(e.Path):
			in.Packages = append(in.Packages, debs(e.Path, content)...)
		}
		return nil
	})
	for dir, d := range dists {
		d.Record, d.Archive = records[dir][0], records[dir][1]
		in.Packages = append(in.Packages, d)
	}
	slices.SortStableFunc(in.Packages, func(a, b Package) int { return strings.Compare(a.Path, b.Path) })
	return in, err
}

// describe reads what stands beside the metadata of a distribution.
func describe(records map[string][2]string, dir, name string, content io.Reader) error {
	known := records[dir]
	switch name {
	case "RECORD":
		sum := sha256.New()
		if _, err := io.Copy(sum, content); err != nil {
			return err
		}
		known[0] = hex.EncodeToString(sum.Sum(nil))
	case "direct_url.json":
		var direct struct {
			Archive struct {
				Hashes map[string]string `json:"hashes"`
			} `json:"archive_info"`
		}
		if json.NewDecoder(io.LimitReader(content, documentLimit)).Decode(&direct) == nil && hexDigest(direct.Archive.Hashes["sha256"]) {
			known[1] = direct.Archive.Hashes["sha256"]
		}
	}
	records[dir] = known
	return nil
}

// hexDigest says whether a text is a sha256 in hexadecimal.
func hexDigest(s string) bool { return digestName.MatchString("sha256:" + s) }

// debs are the packages of a database of Debian's. What cannot be read of it
// says nothing.
func debs(p string, content io.Reader) []Package {
	found, _ := debian.Read(content) // those before what cannot be read count
	var list []Package
	for _, d := range found {
		list = append(list, Package{Type: "deb", Name: d.Name, Version: d.Version, Architecture: d.Architecture, Source: d.Source, Path: p})
	}
	return list
}

// distroIn is the ID of an os-release(5); empty if there is none.
func distroIn(content io.Reader) string {
	data, err := io.ReadAll(io.LimitReader(content, 64<<10))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(id, `"'`)
		}
	}
	return ""
}
