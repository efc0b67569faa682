package oci_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kanso-build/kanso/oci"
)

// TestLayersThatStandThereAreNotAskedFor builds on a machine that has nothing and
// pushes where the image was pushed before, with one file changed.
func TestLayersThatStandThereAreNotAskedFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []rule
		heads int // of layers and configurations
		puts  int // of manifests
		fails bool
	}{
		{"it has them", nil, 2, 1, false},
		{"it says that one is missing", []rule{{"PUT", manifestPath, 1, refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown")}}, 4, 2, false},
		{"it says so in another way", []rule{{"PUT", manifestPath, 1, refusal(404, "BLOB_UNKNOWN", "blob unknown")}}, 4, 2, false},
		{"it takes no manifest at all", []rule{{"PUT", manifestPath, 0, refusal(400, "MANIFEST_INVALID", "no")}}, 4, 2, true},
		{"it forbids it", []rule{{"PUT", manifestPath, 0, refusal(403, "DENIED", "no")}}, 2, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler, err := oci.Registry(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			u := unrulyBefore(t, handler)
			b, err := client(t).Base(t.Context(), baseOn(t, "COPY . /app", file("app/there", "x", 0o666)), "")
			if err != nil {
				t.Fatal(err)
			}
			push(t, client(t), b.Image, u.host+"/base:1")
			first := fresh(t, map[string]string{"run.py": "1"})
			first.Runner = installer()
			push(t, first.Client, unread(t, first, u.host+"/base:1", steps("run.py")...), u.host+"/team/image:1")

			again := fresh(t, map[string]string{"run.py": "2"}, u.host+"/team/image:1")
			img := unread(t, again, u.host+"/base:1", steps("run.py")...)
			if img.Ran != 0 {
				t.Fatal("the requirements were installed again")
			}
			u.rules(c.rules...)
			to := tag(t, again.Client, u.host+"/team/image:2")
			if _, err := again.Client.Push(t.Context(), img, []name.Tag{to}); (err != nil) != c.fails {
				t.Fatalf("error is %v; wanted one: %v", err, c.fails)
			}
			if heads, puts := u.asked("HEAD", blobPath), u.asked("PUT", manifestPath); heads != c.heads || puts != c.puts {
				t.Errorf("asked for %d blobs and put %d manifests, want %d and %d", heads, puts, c.heads, c.puts)
			}
			if _, err := pull(t.Context(), client(t), to.Name()); (err != nil) != c.fails {
				t.Errorf("reading it back: %v", err)
			}
		})
	}
}

// TestANewTagBesideWhatWasPushedLast pushes a changed image under a tag that is not
// there yet: one question tells that the layers are. What this machine pushed counts
// only as long as the registry has it.
func TestANewTagBesideWhatWasPushedLast(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []rule
		heads int // of layers and configurations
		puts  int // of manifests
	}{
		{"it is there", nil, 2, 1},
		{"it is there, and a layer is missing", []rule{{"PUT", manifestPath, 1, refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown")}}, 4, 2},
		{"it is gone", []rule{{"HEAD", manifestPath, 0, refusal(404, "MANIFEST_UNKNOWN", "gone")}, {"GET", manifestPath, 0, refusal(404, "MANIFEST_UNKNOWN", "gone")}}, 4, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler, err := oci.Registry(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			u := unrulyBefore(t, handler)
			b, err := client(t).Base(t.Context(), baseOn(t, "COPY . /app", file("app/there", "x", 0o666)), "")
			if err != nil {
				t.Fatal(err)
			}
			push(t, client(t), b.Image, u.host+"/base:1")
			first := fresh(t, map[string]string{"run.py": "1"})
			first.Runner = installer()
			push(t, first.Client, unread(t, first, u.host+"/base:1", steps("run.py")...), u.host+"/team/image:1")

			again := fresh(t, map[string]string{"run.py": "2"})
			again.Store, again.Runner = first.Store, installer()
			again.Client.Cache = first.Client.Cache
			img := unread(t, again, u.host+"/base:1", steps("run.py")...)
			u.rules(c.rules...)
			push(t, again.Client, img, u.host+"/team/image:2")
			if heads, puts := u.asked("HEAD", blobPath), u.asked("PUT", manifestPath); heads != c.heads || puts != c.puts {
				t.Errorf("asked for %d blobs and put %d manifests, want %d and %d", heads, puts, c.heads, c.puts)
			}
			u.rules()
			if _, err := pull(t.Context(), client(t), u.host+"/team/image:2"); err != nil {
				t.Errorf("reading it back: %v", err)
			}
		})
	}
}
