package attest

// SPDX's own words, as far as we say them (SPDX 2.3).
const (
	// NoAssertion is where nobody looked, or nothing was found.
	NoAssertion = "NOASSERTION"
	// DocumentID is what a document calls itself (6.3).
	DocumentID = "SPDXRef-DOCUMENT"
	// Container is the purpose of an image (7.24).
	Container = "CONTAINER"
	// SHA256 is the algorithm of a checksum (7.10).
	SHA256 = "SHA256"
)

// The relationships that we state (SPDX 2.3, 11.1).
const (
	Describes         = "DESCRIBES"
	Contains          = "CONTAINS"
	DescendantOf      = "DESCENDANT_OF"
	BuildDependencyOf = "BUILD_DEPENDENCY_OF"
)

// A Document lists what is in an image (SPDX 2.3, clause 6, and "JSON
// Serialization").
type Document struct {
	SPDXVersion   string         `json:"spdxVersion"`       // 6.1
	DataLicense   string         `json:"dataLicense"`       // 6.2
	SPDXID        string         `json:"SPDXID"`            // 6.3
	Name          string         `json:"name"`              // 6.4
	Namespace     string         `json:"documentNamespace"` // 6.5
	CreationInfo  CreationInfo   `json:"creationInfo"`
	Comment       string         `json:"comment,omitempty"` // 6.11
	Packages      []Package      `json:"packages"`
	Relationships []Relationship `json:"relationships"`
}

// CreationInfo says who made a document, and as of when.
type CreationInfo struct {
	Creators []string `json:"creators"` // 6.8
	Created  string   `json:"created"`  // 6.9, in UTC, to the second
}

// A Package is a distribution, a Debian package or an image (SPDX 2.3, clause 7).
type Package struct {
	Name             string        `json:"name"`                            // 7.1
	SPDXID           string        `json:"SPDXID"`                          // 7.2
	Version          string        `json:"versionInfo,omitempty"`           // 7.3
	Supplier         string        `json:"supplier,omitempty"`              // 7.5
	DownloadLocation string        `json:"downloadLocation"`                // 7.7
	FilesAnalyzed    bool          `json:"filesAnalyzed"`                   // 7.8
	Checksums        []Checksum    `json:"checksums,omitempty"`             // 7.10
	SourceInfo       string        `json:"sourceInfo,omitempty"`            // 7.12
	LicenseConcluded string        `json:"licenseConcluded,omitempty"`      // 7.13
	LicenseDeclared  string        `json:"licenseDeclared,omitempty"`       // 7.15
	LicenseComments  string        `json:"licenseComments,omitempty"`       // 7.16
	Copyright        string        `json:"copyrightText,omitempty"`         // 7.17
	Comment          string        `json:"comment,omitempty"`               // 7.20
	ExternalRefs     []ExternalRef `json:"externalRefs,omitempty"`          // 7.21
	Purpose          string        `json:"primaryPackagePurpose,omitempty"` // 7.24
}

// A Checksum is one of a package's archive, or of an image's manifest.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// An ExternalRef names a package elsewhere.
type ExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// PURL is a reference by a package URL (SPDX 2.3, annex F.3.5); none for an empty
// one.
func PURL(purl string) []ExternalRef {
	if purl == "" {
		return nil
	}
	return []ExternalRef{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: purl}}
}

// A Relationship is between two elements, by their ids (SPDX 2.3, clause 11).
type Relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// NewDocument is a document without packages.
func NewDocument(name, namespace string, info CreationInfo) Document {
	return Document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: DocumentID, Name: name, Namespace: namespace, CreationInfo: info,
		Packages: []Package{}, Relationships: []Relationship{},
	}
}

// Add adds a package and how another element relates to it.
func (d *Document) Add(p Package, element, relationship string) {
	d.Packages = append(d.Packages, p)
	d.Relate(element, relationship, p.SPDXID)
}

// Relate states a relationship.
func (d *Document) Relate(element, relationship, related string) {
	d.Relationships = append(d.Relationships, Relationship{Element: element, Type: relationship, Related: related})
}
