package oci_test

import (
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// stackedBase is an image whose layers lean on one another in every way: on
// directories, on links, on files.
func stackedBase(t *testing.T) v1.Image {
	t.Helper()
	prog, err := program()
	if err != nil {
		t.Fatal(err)
	}
	d := func(p string, mode fs.FileMode, uid int) layers.File {
		return layers.File{Path: p, Mode: fs.ModeDir | mode, UID: uid}
	}
	img, err := mutate.AppendLayers(empty.Image, prog,
		layerOf(t, append(usual(), d("usr", 0o755, 0), d("usr/bin", 0o711, 0), d("opt", 0o751, 7), layers.File{Path: "bin", Mode: fs.ModeSymlink | 0o777, Link: "usr/bin"}, file("opt/one", "1", 0o644))...),
		layerOf(t, file("usr/bin/two", "2", 0o755), file("opt/deep/two", "2", 0o644)),
		layerOf(t, file("bin/three", "3", 0o755)),
		layerOf(t, layers.File{Path: "opt/four", HardLink: true, Link: "opt/one"}),
		layerOf(t, layers.Whiteout("opt/deep"), file("usr/five", "5", 0o644)),
	)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.OS, cfg.Architecture, cfg.Config.Env = "linux", "amd64", []string{"PATH=/bin:/"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// eachCutOnce are rules by which every blob of an image breaks off once.
func eachCutOnce(t *testing.T, img v1.Image) []rule {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	rules := []rule{{"GET", blobPath + m.Config.Digest.String(), 1, cut}}
	for _, l := range m.Layers {
		rules = append(rules, rule{"GET", blobPath + l.Digest.String(), 1, cut})
	}
	return rules
}

// lookAtStack shows what they come to.
func lookAtStack() []string {
	return []string{"show", "/opt", "/opt/one", "/opt/four", "/opt/deep", "/usr/bin", "/usr/bin/two", "/usr/bin/three", "/bin", "/usr/five"}
}

// TestLayersAreUnpackedWhileTheyCome has a registry that works, one that breaks
// off in the middle of every layer once, and a cache that has all layers already:
// a command sees the same.
func TestLayersAreUnpackedWhileTheyCome(t *testing.T) {
	img := stackedBase(t)
	want := ""
	for _, c := range []struct {
		name    string
		rules   []rule
		fetched bool
	}{
		{"as it should be", nil, false},
		{"each layer cut once", eachCutOnce(t, img), false},
		{"from the cache", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := misbehaving(t)
			push(t, client(t), img, u.host+"/base:1")
			b, out := running(t, way{}, nil)
			b.Client.Cache = b.Store
			if c.name != "as it should be" {
				cl, _ := impatient(t)
				b.Client.Sleep, b.Client.Now = cl.Sleep, cl.Now
			}
			base := u.host + "/base:1"
			if c.fetched {
				if _, err := pull(t.Context(), b.Client, base); err != nil {
					t.Fatal(err)
				}
			} else if _, err := b.Client.Base(t.Context(), base, ""); err != nil { // the configuration is a blob, too
				t.Fatal(err)
			}
			u.rules(c.rules...)
			build(t, b, base, run(lookAtStack()...))
			if want == "" {
				want = out.String()
			}
			if got := out.String(); got != want {
				t.Errorf("saw\n%s\nnot\n%s", got, want)
			}
			if c.rules != nil && u.asked("GET", blobPath) < 12 {
				t.Errorf("asked %d times for layers: not each was cut", u.asked("GET", blobPath))
			}
			if c.fetched && u.asked("GET", blobPath) > 0 {
				t.Error("layers were fetched again")
			}
		})
	}
	for _, line := range []string{"/usr/bin/three", "/opt/four"} {
		if !strings.Contains(want, line) {
			t.Errorf("nothing is said of %s:\n%s", line, want)
		}
	}
}

// TestALayerThatIsSomethingElseIsNoTree has a registry whose second layer is a
// good layer, but another one, and says so in no header.
func TestALayerThatIsSomethingElseIsNoTree(t *testing.T) {
	u := misbehaving(t)
	img := stackedBase(t)
	push(t, client(t), img, u.host+"/base:1")
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := ls[2].Digest()
	if err != nil {
		t.Fatal(err)
	}
	other, err := ls[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	var lied atomic.Bool
	u.rules(rule{"GET", blobPath + digest.String(), 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		lied.Store(true)
		r.URL.Path = strings.Replace(r.URL.Path, digest.String(), other.String(), 1)
		next.ServeHTTP(w, r)
	}})
	b, _ := running(t, way{}, nil)
	b.Client.Cache = b.Store
	cl, _ := impatient(t)
	b.Client.Sleep, b.Client.Now = cl.Sleep, cl.Now
	p := plan.Plan{Stages: []plan.Stage{{Base: u.host + "/base:1", Steps: []plan.Step{run(lookAtStack()...)}}}}
	if _, err := b.Build(t.Context(), p); err == nil || !strings.Contains(err.Error(), "unpack layer 3: ") {
		t.Fatalf("got %v", err)
	}
	if !lied.Load() {
		t.Fatal("the layer was not asked for")
	}
	root := filepath.Dir(b.Store.Scratch())
	if left, err := filepath.Glob(filepath.Join(root, "tmp", "*")); err != nil || len(left) > 0 {
		t.Errorf("stayed: %v, %v", left, err)
	}
	if trees, err := filepath.Glob(filepath.Join(root, "trees", "*", "*", "fs")); err != nil || len(trees) > 2 {
		t.Errorf("more than those of the first two layers: %v, %v", trees, err)
	}
	if _, ok := b.Store.Blob(digest); ok {
		t.Error("the cache says that it has the layer")
	}
	u.rules()
	build(t, b, u.host+"/base:1", run(lookAtStack()...))
}
