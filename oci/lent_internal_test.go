package oci

import (
	"slices"
	"testing"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// A command of a user's own may write to what it has installed, so it must not be
// another name of a file of the cache.
func TestOnlyAnInstallerLinksFilesOfItsCache(t *testing.T) {
	lent := []sandbox.Mount{{Kind: sandbox.MountPackages, Target: "/cache", Vars: []string{"UV_LINK_MODE=hardlink"}}}
	b := &Builder{Access: map[string]Access{"uv": {Mounts: lent}}}
	for _, installs := range []bool{false, true} {
		var c sandbox.Command
		b.repeatable(&c, []string{"uv"}, installs)
		if len(c.Mounts) != 1 || slices.Equal(c.Mounts[0].Vars, lent[0].Vars) != installs || len(c.Mounts[0].Vars) > 0 != installs {
			t.Errorf("installs %v: %+v", installs, c.Mounts)
		}
	}
}
