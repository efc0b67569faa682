// Package attest is the vocabulary of what is said about an image when it is
// made: a statement of how ([Statement], in-toto with SLSA's provenance) and a
// list of what is in it ([Document], SPDX).
//
// It is data in the shapes that the specifications have, as far as we say
// anything; the same facts give the same bytes. The package reads no image and
// signs nothing: a signature, and the envelope for it (DSSE), are for whoever
// has a key.
package attest

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The media types of what is attached to images.
const (
	// StatementType is that of a [Statement] without an envelope (in-toto
	// attestation framework, "Media types").
	StatementType = "application/vnd.in-toto+json"
	// DocumentType is that of a [Document] (IANA, SPDX in JSON).
	DocumentType = "application/spdx+json"
)

// The types that a statement names.
const (
	statementV1  = "https://in-toto.io/Statement/v1"
	ProvenanceV1 = "https://slsa.dev/provenance/v1" // a predicate's
)

// A Statement says of subjects, by their digests, how they were made (in-toto
// attestation framework, "Statement layer specification", v1).
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Provenance `json:"predicate"`
}

// A Resource is a thing that is named by its digests (in-toto attestation
// framework, "ResourceDescriptor", v1).
type Resource struct {
	Name string `json:"name,omitempty"`
	URI  string `json:"uri,omitempty"`
	// Digest is by algorithm, in lower-case hexadecimal (in-toto attestation
	// framework, "DigestSet").
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Provenance says how something was built (SLSA 1.0, "Provenance").
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// A BuildDefinition is all that the result depends on (SLSA 1.0, "Provenance",
// BuildDefinition). The parameters mean what the build type says.
type BuildDefinition struct {
	BuildType            string          `json:"buildType"`
	ExternalParameters   json.RawMessage `json:"externalParameters"`
	InternalParameters   json.RawMessage `json:"internalParameters,omitempty"`
	ResolvedDependencies []Resource      `json:"resolvedDependencies,omitempty"`
}

// RunDetails are of the one build that made it (SLSA 1.0, "Provenance",
// RunDetails). When it was is left out: the same build says the same.
type RunDetails struct {
	Builder Builder `json:"builder"`
}

// A Builder is who is answerable for a build (SLSA 1.0, "Provenance", Builder).
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// NewStatement is a statement about an image by its digest, in hexadecimal.
func NewStatement(sha256 string, p Provenance) Statement {
	return Statement{
		Type: statementV1, Subject: []Resource{{Digest: map[string]string{"sha256": sha256}}}, PredicateType: ProvenanceV1, Predicate: p,
	}
}

// JSON encodes a value of this package, with a newline at the end.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	return b.Bytes(), nil
}

// ReadStatement reads a statement; one about something else than provenance is
// an error.
func ReadStatement(data []byte) (Statement, error) {
	var s Statement
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read statement: %w", err)
	}
	if s.Type != statementV1 || s.PredicateType != ProvenanceV1 {
		return s, fmt.Errorf("read statement: it is of type %q with a predicate of type %q, not provenance", s.Type, s.PredicateType)
	}
	return s, nil
}
