package oci

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/oci/attest"
)

// namespace begins the names of our documents.
const namespace = "https://github.com/kanso-build/kanso/spdx/"

// imageID is what documents call the image that they are about.
const imageID = "SPDXRef-Image"

// SBOM lists the packages of an image (SPDX 2.3, as JSON): Python distributions
// and Debian packages, by what pip, uv and dpkg wrote down. If added is set the
// base is one package, and its layers are not read. It depends on the image, on
// added and on kanso's version alone: its time is the image's.
func (b *Builder) SBOM(ctx context.Context, img *Image, added bool, version string) (Attachment, error) {
	data, err := b.sbom(ctx, img, added, version)
	if err != nil {
		return Attachment{}, fmt.Errorf("bill of materials: %w", err)
	}
	return Attachment{Type: attest.DocumentType, Data: data}, nil
}

func (b *Builder) sbom(ctx context.Context, img *Image, added bool, version string) ([]byte, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	inventory, err := b.Inventory(ctx, img, added)
	if err != nil {
		return nil, err
	}
	created := config.Created.Time
	if created.IsZero() {
		created = b.time()
	}
	return attest.JSON(document(digest, img.Bases, inventory, attest.CreationInfo{
		Creators: []string{"Tool: kanso-" + version}, Created: created.UTC().Format(time.RFC3339),
	}))
}

// document is the list as a document.
func document(image v1.Hash, bases []Base, inventory Inventory, info attest.CreationInfo) attest.Document {
	extent := "image"
	if inventory.Added {
		extent = "added"
	}
	d := attest.NewDocument("image "+image.String(), namespace+image.Algorithm+"-"+image.Hex+"/"+extent, info)
	d.Comment = "Python distributions and Debian packages of all layers, by METADATA and by dpkg's database. Other files were not looked at."
	if inventory.Added {
		d.Comment = "Python distributions and Debian packages of the layers that were added to the base, by METADATA and by dpkg's database. " +
			"The layers of the base were not looked at: it stands here as one package."
	}
	d.Add(imagePackage(imageID, "image", "", image), attest.DocumentID, attest.Describes)
	for i, base := range bases {
		id := fmt.Sprintf("SPDXRef-Base-%d", i+1)
		p := imagePackage(id, cmp.Or(base.Name, "base"), base.purl(), base.Digest)
		if i == 0 {
			d.Add(p, imageID, attest.DescendantOf)
			continue
		}
		d.Packages = append(d.Packages, p)
		d.Relate(id, attest.BuildDependencyOf, imageID)
	}
	for _, p := range inventory.Packages {
		d.Add(p.spdx(inventory.Distro), imageID, attest.Contains)
	}
	return d
}

// imagePackage is an image as a package.
func imagePackage(id, name, purl string, digest v1.Hash) attest.Package {
	return attest.Package{
		SPDXID: id, Name: name, Version: digest.String(), DownloadLocation: attest.NoAssertion, Purpose: attest.Container,
		Checksums:        []attest.Checksum{{Algorithm: attest.SHA256, Value: digest.Hex}},
		LicenseConcluded: attest.NoAssertion, LicenseDeclared: attest.NoAssertion, Copyright: attest.NoAssertion, ExternalRefs: attest.PURL(purl),
	}
}

// notInIDs is what no identifier of SPDX may have (SPDX 2.3, 7.2).
var notInIDs = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// spdx is a package in SPDX's words.
func (p Package) spdx(distro string) attest.Package {
	out := attest.Package{
		// A name may be there twice, in different places.
		SPDXID:           "SPDXRef-" + p.Type + "-" + notInIDs.ReplaceAllString(p.Name, "-") + "-" + sumOf(p.Path + "\x00" + p.Name + "\x00" + p.Architecture)[:12],
		Name:             p.Name,
		Version:          p.Version,
		DownloadLocation: attest.NoAssertion,
		SourceInfo:       "/" + p.Path + " in layer " + p.Layer,
		LicenseConcluded: attest.NoAssertion,
		LicenseDeclared:  attest.NoAssertion,
		Copyright:        attest.NoAssertion,
		ExternalRefs:     attest.PURL(p.purl(distro)),
	}
	if p.Record != "" {
		out.SourceInfo += "; its RECORD is sha256:" + p.Record
	}
	if p.Source != "" {
		out.SourceInfo += "; built from " + p.Source
	}
	if p.Archive != "" {
		out.Checksums = []attest.Checksum{{Algorithm: attest.SHA256, Value: p.Archive}}
	}
	switch {
	case expression(p.Expression):
		out.LicenseDeclared = p.Expression
	case slices.Contains(plainLicenses(), p.License):
		out.LicenseDeclared = p.License
	case p.Expression != "":
		out.LicenseComments = "METADATA says: " + p.Expression
	case p.License != "":
		out.LicenseComments = "METADATA says: " + oneOf(p.License)
	}
	return out
}

// plainLicenses are names in SPDX's list that distributions had in their License
// field before there was one for expressions.
func plainLicenses() []string {
	return []string{
		"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC",
		"LGPL-2.1-or-later", "LGPL-3.0-or-later", "MIT", "MPL-2.0", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib",
	}
}

// license is the shape of an expression (SPDX 2.3, annex D).
var license = regexp.MustCompile(`^[A-Za-z0-9.+() -]+$`)

// expression says whether a text can be an expression; whether the names in it
// are in SPDX's list is for whoever wrote them.
func expression(s string) bool { return license.MatchString(s) }

// oneOf is at most a line of a text.
func oneOf(s string) string {
	const most = 200
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
