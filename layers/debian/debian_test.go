package debian_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers/debian"
)

func TestPackagesThatAreInstalled(t *testing.T) {
	const status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-2+b7\nDescription: a shell\n Package: of the description\n\n" +
		"Package: removed\nStatus: deinstall ok config-files\nVersion: 1\n\n" +
		"Package: half\nStatus: install reinstreq half-installed\nVersion: 1\n\n" +
		"Package: held\nStatus: hold ok installed\nVersion: 1:2\nSource: held-src (1:1)\n\n\n" +
		"Version: 1\n\n" +
		"package: distroless\nversion: 3"
	got, err := debian.Read(strings.NewReader(status))
	if err != nil {
		t.Fatal(err)
	}
	want := []debian.Package{
		{Name: "bash", Version: "5.2-2+b7", Architecture: "amd64"}, {Name: "held", Version: "1:2", Source: "held-src"}, {Name: "distroless", Version: "3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What comes before a line that is too long is known all the same.
func TestALineWithoutEnd(t *testing.T) {
	got, err := debian.Read(strings.NewReader("Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\nX: " + strings.Repeat("x", 2<<20)))
	if err == nil || len(got) < 1 || got[0].Name != "a" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhereDatabasesAre(t *testing.T) {
	for p, want := range map[string]bool{
		"var/lib/dpkg/status": true, "var/lib/dpkg/status.d/base-files": true, "var/lib/dpkg/status.d/base-files.md5sums": false,
		"var/lib/dpkg/status-old": false, "app/var/lib/dpkg/status": false, "var/lib/dpkg/status.d/a/b": false,
	} {
		if got := debian.IsDatabase(p); got != want {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
}
