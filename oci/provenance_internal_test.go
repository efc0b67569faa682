package oci

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// sampleOrigin is one with all that a statement can say.
func sampleOrigin() Origin {
	return Origin{
		Source: "dockerfile", Format: "oci", Compression: layers.Compression{Name: "zstd", Level: 7}, Annotations: map[string]string{"a": "<b>"},
		Time: time.Unix(1700000000, 0).UTC(), Contexts: map[string]string{"x": "sub", "y": ""}, Network: "none",
		Plan: plan.Plan{Stages: []plan.Stage{{Base: "team/base:1", Steps: []plan.Step{plan.Run{Args: []string{"true"}}}, Lines: []string{"/home/me/Dockerfile:3"}}}},
	}
}

func sampleImage() *Image {
	h := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}
	return &Image{
		Bases:  []Base{{Ref: "team/base:1", Name: "docker.io/team/base:1", Digest: h, Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}},
		Copied: []CopyReport{{Stage: "s", Step: "COPY a /", Files: 2, Tree: strings.Repeat("c", 64)}},
	}
}

func TestStatementsAreReadAsTheyWereWritten(t *testing.T) {
	o, img := sampleOrigin(), sampleImage()
	image := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}
	text, err := o.statement(image, img, Inventory{Packages: []Package{{Type: "pypi", Name: "p", Version: "1"}, {Type: "deb", Name: "d", Version: "1"}}}, Maker{ID: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "/home/me") {
		t.Errorf("the statement says where the Dockerfile lay: %s", text)
	}
	got, err := ReadOrigin([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Plan.Stages[0].Lines = []string{"Dockerfile:3"}
	o.Image, o.Bases, o.Requirements = image, map[string]v1.Hash{"team/base:1": img.Bases[0].Digest}, []string{"p==1"}
	if diff := cmp.Diff(o, got); diff != "" {
		t.Error(diff)
	}
}

// Secrets that are known, and passwords of URLs, are in no statement.
func TestSecretsAreInNoStatement(t *testing.T) {
	by := Maker{Redact: func(s string) string { return strings.ReplaceAll(s, "known", "***") }}
	for text, want := range map[string]string{
		`"https://me:pass@host/x"`:                            `"https://***@host/x"`,
		`"a b --index-url=https://0123456789abcdef0123@host"`: `"a b --index-url=https://***@host"`,
		`"git+ssh://git@host/x"`:                              `"git+ssh://git@host/x"`,
		`"user@host known"`:                                   `"user@host ***"`,
		`"https://host/x@y:z@"`:                               `"https://host/x@y:z@"`,
	} {
		if got := by.clean(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// FuzzStatement reads anything as a statement: what is accepted says the same when
// it is written again, and no base has anything but a digest.
func FuzzStatement(f *testing.F) {
	text, err := sampleOrigin().statement(v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}, sampleImage(), Inventory{}, Maker{ID: "me"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(strings.ReplaceAll(text, strings.Repeat("b", 64), "../../x"))
	f.Add(strings.ReplaceAll(text, `"run"`, `"fetch"`))
	f.Add(strings.ReplaceAll(text, "zstd:7", "zstd:99"))
	f.Add(`{"_type":"https://in-toto.io/Statement/v1"}`)
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ReadOrigin([]byte(s))
		if err != nil {
			return
		}
		for ref, h := range o.Bases {
			if !hexDigest(h.Hex) {
				t.Errorf("%q is %q", ref, h)
			}
		}
		text, err := o.statement(o.Image, &Image{}, Inventory{}, Maker{})
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadOrigin([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(withoutPlaces(o.Plan))
		b, _ := json.Marshal(again.Plan)
		if string(a) != string(b) || again.Compression != o.Compression || !again.Time.Equal(o.Time) {
			t.Errorf("%s is read as %s", a, b)
		}
	})
}
