package oci_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/oci"
)

const site = "opt/venv/lib/python3.11/site-packages/"

// dpkgStatus is a database of dpkg's.
const dpkgStatus = `Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Description: a shell
 Status: not this one

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: attr
Status: install ok installed
Architecture: amd64
Source: attr-src (1:2.5.1-4)
Version: 1:2.5.1-4`

// packageLayers are layers as installers leave them: later ones upgrade, delete
// and hide what earlier ones have.
func packageLayers() []map[string]string {
	return []map[string]string{
		{
			"etc/os-release":                                             "NAME=x\nID=debian\n",
			"var/lib/dpkg/status":                                        dpkgStatus,
			"var/lib/dpkg/status.d/tzdata":                               "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
			"var/lib/dpkg/status.d/tzdata.md5sums":                       "0 x\n",
			site + "old-1.0.dist-info/METADATA":                          "Metadata-Version: 2.1\nName: Old.Name\nVersion: 1.0\nLicense: MIT\n\nName: not-this\n",
			site + "old-1.0.dist-info/RECORD":                            "old.py,,\n",
			site + "hidden/h-1.dist-info/METADATA":                       "Name: h\nVersion: 1\n",
			site + "x/_vendor/v-1.dist-info/METADATA":                    "Name: v\nVersion: 1\n",
			"usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO": "Name: six\nVersion: 1.16.0\nLicense: the license of six\n and more\n",
			"usr/share/noname-1.dist-info/METADATA":                      "Version: 1\n",
		},
		{
			site + ".wh.old-1.0.dist-info":                 "",
			site + "old-2.0.dist-info/METADATA":            "Name: old_name\nVersion: 2.0\nLicense-Expression: Apache-2.0 OR MIT\n",
			site + "old-2.0.dist-info/RECORD":              "old.py,sha256=x,1\n",
			site + "old-2.0.dist-info/direct_url.json":     `{"url":"https://me:secret@example.com/old.whl","archive_info":{"hashes":{"sha256":"` + strings.Repeat("ab", 32) + `"}}}`,
			site + "hidden/.wh..wh..opq":                   "",
			site + "odd-1+local.dist-info/METADATA":        "Name: odd\nVersion: 1+local\n",
			site + "odd-1+local.dist-info/direct_url.json": `{"archive_info":{"hashes":{"sha256":"../../x"}}}`,
		},
	}
}

// imageOf is an image of layers, the first of which are a base's.
func imageOf(t *testing.T, base int, all []map[string]string) *oci.Image {
	t.Helper()
	img, below := empty.Image, empty.Image
	for i, files := range all {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(w, files[name])
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
		if i+1 == base {
			below = img
		}
	}
	digest, err := below.Digest()
	if err != nil {
		t.Fatal(err)
	}
	b := oci.Base{Image: below, Ref: "registry.example/team/base:1", Name: "registry.example/team/base:1", Digest: digest}
	return &oci.Image{Image: img, Base: b, Bases: []oci.Base{b}}
}

func inventoryBuilder(t *testing.T) *oci.Builder {
	t.Helper()
	store, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &oci.Builder{Client: &oci.Client{Cache: store}, Store: store}
}

// What later layers delete, hide or replace is not in an image.
func TestInventoryIsOfTheImageAndNotOfItsLayers(t *testing.T) {
	img, b := imageOf(t, 1, packageLayers()), inventoryBuilder(t)
	brief := func(added bool) []string {
		i, err := b.Inventory(t.Context(), img, added)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{false: "debian", true: ""}[added]; i.Distro != want {
			t.Errorf("distribution %q, want %q", i.Distro, want)
		}
		var list []string
		for _, p := range i.Packages {
			list = append(list, strings.TrimSpace(strings.Join([]string{p.Type, p.Name, p.Version, p.Architecture, p.Source, p.Expression, p.License}, " ")))
		}
		return list
	}
	for range 2 { // the second time from what was noted
		want := []string{
			"deb attr 1:2.5.1-4 amd64 attr-src", "deb bash 5.2.15-2+b7 amd64", "deb tzdata 2024a all",
			"pypi odd 1+local", "pypi old-name 2.0   Apache-2.0 OR MIT", "pypi six 1.16.0    the license of six",
		}
		if diff := cmp.Diff(want, brief(false)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"pypi odd 1+local", "pypi old-name 2.0   Apache-2.0 OR MIT"}, brief(true)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAListOfPackagesIsTheSameEveryTime(t *testing.T) {
	img := imageOf(t, 1, packageLayers())
	list := func(added bool) string {
		a, err := inventoryBuilder(t).SBOM(t.Context(), img, added, "test")
		if err != nil {
			t.Fatal(err)
		}
		if a.Type != "application/spdx+json" {
			t.Errorf("type %s", a.Type)
		}
		return string(a.Data)
	}
	whole := list(false)
	if whole != list(false) {
		t.Error("two lists of one image differ")
	}
	for _, want := range []string{
		`"spdxVersion":"SPDX-2.3"`, `"created":"1980-01-01T00:00:00Z"`, `"creators":["Tool: kanso-test"]`,
		`"pkg:deb/debian/attr@1:2.5.1-4?arch=amd64"`, `"pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64"`, `"pkg:pypi/odd@1%2Blocal"`,
		`"licenseDeclared":"Apache-2.0 OR MIT"`, `"licenseComments":"METADATA says: the license of six"`, `"checksumValue":"` + strings.Repeat("ab", 32),
		`/base@sha256:`, `?repository_url=registry.example/team/base&tag=1`, `; its RECORD is sha256:`, `; built from attr-src`,
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("the list has no %s: %s", want, whole)
		}
	}
	for _, not := range []string{"secret", "../../x", "not-this"} {
		if strings.Contains(whole, not) {
			t.Errorf("the list has %s", not)
		}
	}
	added := list(true)
	if !strings.Contains(added, "layers of the base were not looked at") || strings.Contains(added, "pkg:deb") {
		t.Errorf("%s", added)
	}
	wantWholeDocument(t, whole)
	wantWholeDocument(t, added)
}

// wantWholeDocument says whether every relationship is between elements that are
// there, and every element has one.
func wantWholeDocument(t *testing.T, text string) {
	t.Helper()
	var d struct {
		Packages []struct {
			ID string `json:"SPDXID"`
		} `json:"packages"`
		Relationships []struct {
			Element string `json:"spdxElementId"`
			Related string `json:"relatedSpdxElement"`
		} `json:"relationships"`
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	related := map[string]int{"SPDXRef-DOCUMENT": 0}
	for _, p := range d.Packages {
		if _, twice := related[p.ID]; twice {
			t.Errorf("%s is there twice", p.ID)
		}
		related[p.ID] = 0
	}
	for _, r := range d.Relationships {
		for _, id := range []string{r.Element, r.Related} {
			if _, ok := related[id]; !ok {
				t.Errorf("nothing is called %s", id)
			}
			related[id]++
		}
	}
	for id, n := range related {
		if n == 0 {
			t.Errorf("%s is related to nothing", id)
		}
	}
}
