package oci

import (
	"slices"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers/cache"
	"github.com/kanso-build/kanso/resolve/plan"
)

// What an installer told of archives goes to the packages of that version only.
func TestHashesOfArchives(t *testing.T) {
	store, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a, c := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("c", 64)
	b := &Builder{Store: store}
	b.noteHashes(earlierInstall{Key: "key", Pins: []pin{
		{Name: "one", Version: "1", Hashes: []string{a}}, {Name: "several", Version: "1", Hashes: []string{a, c, "md5:x"}}, {Name: "other", Version: "1", Hashes: []string{a}},
		{Name: "direct", Version: "1", Hashes: []string{a}},
	}})
	i := Inventory{Packages: []Package{
		{Type: "pypi", Name: "one", Version: "1"}, {Type: "pypi", Name: "several", Version: "1"}, {Type: "pypi", Name: "other", Version: "2"},
		{Type: "deb", Name: "one", Version: "1"}, {Type: "pypi", Name: "direct", Version: "1", Archive: "known"},
	}}
	b.addHashes(&i, plan.Plan{}, []StepReport{{Kind: "install", Key: "unknown"}, {Kind: "run", Key: "key"}})
	for _, p := range i.Packages[:4] {
		if p.Archive != "" || p.hashes != nil {
			t.Errorf("another step's: %+v", p)
		}
	}
	i.Packages = append(i.Packages, Package{Type: "pypi", Name: "in-file", Version: "2"})
	written := plan.Plan{Stages: []plan.Stage{{Steps: []plan.Step{plan.Install{Requirements: "# x\nIn_File[a]==2 ; x \\\n  --hash=" + c + " \\\n --hash=md5:a\nother==1"}}}}}
	b.addHashes(&i, written, []StepReport{{Kind: "install", Key: "key"}})
	for n, want := range []Package{{Archive: a[7:]}, {hashes: []string{a, c}}, {}, {}, {Archive: "known"}, {Archive: c[7:]}} {
		if p := i.Packages[n]; p.Archive != want.Archive || !slices.Equal(p.hashes, want.hashes) {
			t.Errorf("%s %s: %q %q, want %q %q", p.Type, p.Name, p.Archive, p.hashes, want.Archive, want.hashes)
		}
	}
}
