package python_test

import (
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers/python"
)

func TestMetadataEndsBeforeTheDescription(t *testing.T) {
	got, err := python.ReadMetadata(strings.NewReader("Metadata-Version: 2.4\r\nName: A.b\r\nVERSION: 1.0\r\nLicense: one\n  and more\nLicense-Expression: MIT\n\nName: not this\n"))
	if want := (python.Metadata{Name: "A.b", Version: "1.0", License: "one", Expression: "MIT"}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := python.ReadMetadata(strings.NewReader("")); err != nil || got != (python.Metadata{}) {
		t.Errorf("%+v, %v of nothing", got, err)
	}
}

func TestWhereMetadataIs(t *testing.T) {
	for p, want := range map[string]bool{
		"site-packages/a-1.dist-info/METADATA": true, "site-packages/a.egg-info/PKG-INFO": true, "a-1.dist-info/METADATA": true,
		"site-packages/a-1.dist-info/PKG-INFO": false, "site-packages/a-1.egg-info": false, "site-packages/METADATA": false,
		"setuptools/_vendor/a-1.dist-info/METADATA": false, "site-packages/a-1.dist-info/licenses/METADATA": false,
	} {
		if got := python.IsMetadata(p); got != want {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
}
