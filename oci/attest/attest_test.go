package attest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/oci/attest"
)

func TestStatementsHaveTheShapeOfTheSpecification(t *testing.T) {
	data, err := attest.JSON(attest.NewStatement("aa", attest.Provenance{
		BuildDefinition: attest.BuildDefinition{BuildType: "https://example.com/<b>", ExternalParameters: json.RawMessage(`{"a":"&"}`)},
		RunDetails:      attest.RunDetails{Builder: attest.Builder{ID: "me"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"aa"}}],"predicateType":"https://slsa.dev/provenance/v1",` +
		`"predicate":{"buildDefinition":{"buildType":"https://example.com/<b>","externalParameters":{"a":"&"}},"runDetails":{"builder":{"id":"me"}}}}` + "\n"
	if string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
	if s, err := attest.ReadStatement(data); err != nil || s.Subject[0].Digest["sha256"] != "aa" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOtherStatementsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{`: "unexpected end", `[]`: "cannot unmarshal", `{"_type":"https://in-toto.io/Statement/v0.1"}`: "not provenance",
		`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://spdx.dev/Document"}`: "not provenance",
	} {
		if _, err := attest.ReadStatement([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Every element of a document has an id that others can name.
func TestDocumentsRelateWhatTheyHave(t *testing.T) {
	d := attest.NewDocument("image", "https://example.com/1", attest.CreationInfo{Creators: []string{"Tool: x"}, Created: "1980-01-01T00:00:00Z"})
	d.Add(attest.Package{SPDXID: "SPDXRef-a", Name: "a", DownloadLocation: attest.NoAssertion, ExternalRefs: attest.PURL("pkg:pypi/a@1")}, attest.DocumentID, attest.Describes)
	data, err := attest.JSON(d)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"image","documentNamespace":"https://example.com/1",` +
		`"creationInfo":{"creators":["Tool: x"],"created":"1980-01-01T00:00:00Z"},"packages":[{"name":"a","SPDXID":"SPDXRef-a","downloadLocation":"NOASSERTION","filesAnalyzed":false,` +
		`"externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:pypi/a@1"}]}],` +
		`"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-a"}]}` + "\n"
	if string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
	if attest.PURL("") != nil {
		t.Error("a package without a URL has one")
	}
}
