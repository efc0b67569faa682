// Package llb_test compares what kanso lowers Dockerfiles to with what
// BuildKit's own front end converts them to.
package llb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/kanso-build/kanso/resolve/dockerfile"
)

// refused are words of errors for what kanso refuses and BuildKit does not.
var refused = []string{
	"--security=insecure is not supported", "--device is not supported", "images of Windows are not supported",
	"RUN [] has no command", "submodules=false", "fetch-by-commit", "is not the name of one", // the last fails in BuildKit, too, when it is built
}

// different says of which Dockerfiles kanso and BuildKit make different things,
// and why. One of which they do not fails.
var different = map[string]string{
	"workdir-variable.txtar:Dockerfile": "BuildKit's one mkdir makes what stands before a .. as well, a plan says it in two entries",
	"user-empty.txtar:Dockerfile":       "a plan has no word for no user, and says 0",
	"arg-name.txtar:Dockerfile":         "BuildKit 0.34 does not expand the names of arguments any more, which looks like a mistake",
}

func TestLoweredAsBuildKitConverts(t *testing.T) {
	n := 0
	for name, text := range dockerfiles(t) {
		n++
		for kind, o := range map[string]dockerfile.Options{
			"plain": {},
			"arguments": {
				Platform: "linux/arm64", Labels: map[string]string{"l": "last"},
				BuildArgs: map[string]string{"X": "given", "FOO": "foo", "HTTP_PROXY": "http://proxy", "no_proxy": "localhost", "TARGETARCH": "mine"},
			},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				d := compare(t, text, o)
				if why, ok := different[filepath.Base(name)]; ok && d == "" {
					t.Errorf("there is no difference any more: %s", why)
				} else if !ok && d != "" {
					t.Errorf("%s\n%s", d, text)
				}
			})
		}
	}
	t.Logf("%d Dockerfiles", n)
}

// compare is the difference between what kanso and BuildKit make of a
// Dockerfile; empty if there is none.
func compare(t *testing.T, text []byte, o dockerfile.Options) string {
	o.Build = "linux/amd64"
	want, wantErr := ask(t.Context(), text, o)
	got, gotErr := lowered(t.Context(), text, o)
	switch {
	case gotErr != nil && wantErr != nil:
		t.Logf("kanso: %v\nBuildKit: %v", gotErr, wantErr)
		return ""
	case gotErr != nil:
		for _, r := range refused {
			if strings.Contains(gotErr.Error(), r) {
				return ""
			}
		}
		return "kanso refuses: " + gotErr.Error()
	case wantErr != nil:
		return "BuildKit refuses: " + wantErr.Error()
	}
	return cmp.Diff(want, got)
}

// dockerfiles are those of the project, and of a directory that KANSO_MORE
// names.
func dockerfiles(t *testing.T) map[string][]byte {
	out := map[string][]byte{}
	for _, dir := range []string{"../../dockerfile", "../../../resolve/dockerfile/testdata", os.Getenv("KANSO_MORE")} {
		if dir == "" {
			continue
		}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			switch {
			case filepath.Ext(path) == ".txtar":
				for _, f := range txtar.Parse(text).Files {
					if strings.Contains(filepath.Base(f.Name), "Dockerfile") && !strings.Contains(f.Name, "ignore") {
						out[path+":"+f.Name] = f.Data
					}
				}
			case strings.Contains(strings.ToLower(filepath.Base(path)), "dockerfile") && !strings.Contains(path, "ignore"):
				out[path] = text
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return out
}
