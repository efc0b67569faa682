package oci

import (
	"net/url"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// purl is the package's URL (purl-spec, types "pypi" and "deb"). distro is the
// distribution of a Debian package; empty is Debian.
func (p Package) purl(distro string) string {
	if p.Type == "pypi" {
		return "pkg:pypi/" + purlWord(p.Name) + "@" + purlWord(p.Version)
	}
	if distro == "" {
		distro = "debian"
	}
	s := "pkg:deb/" + purlWord(distro) + "/" + purlWord(p.Name) + "@" + purlWord(p.Version)
	if p.Architecture != "" {
		s += "?arch=" + purlWord(p.Architecture)
	}
	return s
}

// purl is the URL of an image in a registry (purl-spec, type "oci"); empty for one
// that came from a file.
func (b Base) purl() string {
	if b.Name == "" {
		return ""
	}
	ref, err := name.ParseReference(b.Name)
	if err != nil {
		return ""
	}
	repo := strings.TrimSuffix(strings.TrimSuffix(b.Name, ref.Identifier()), separator(ref))
	s := "pkg:oci/" + purlWord(path.Base(repo)) + "@" + b.Digest.String() + "?repository_url=" + repo
	if tag, ok := ref.(name.Tag); ok {
		s += "&tag=" + purlWord(tag.TagStr())
	}
	return s
}

// purlWord is a text as a part of a package URL, in which colons stay.
func purlWord(s string) string {
	return strings.NewReplacer("+", "%20", "%3A", ":").Replace(url.QueryEscape(s))
}
