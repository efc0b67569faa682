package oci

import (
	"io"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/secrets"
)

// Secrecy says what becomes of what looks like a secret in the layers that steps
// make. Those of bases are as they are.
type Secrecy struct {
	// Stop ends the build before such a layer is sent anywhere; else the image
	// tells of it.
	Stop bool
	// Allow are paths in the image of files and directories where secrets may be.
	Allow []string
}

// unallowed are the findings that nobody allowed.
func (s Secrecy) unallowed(found []secrets.Finding) []secrets.Finding {
	var out []secrets.Finding
	for _, f := range found {
		if !secrets.Allowed(f, s.Allow) {
			f.Path = "/" + f.Path
			out = append(out, f)
		}
	}
	return out
}

// judge ends a build whose layers have secrets, if it is to be ended.
func (b *Builder) judge(st *state) error {
	if found := b.Secrecy.unallowed(st.found); b.Secrecy.Stop && len(found) > 0 && !st.dry {
		return &secrets.Error{Found: found}
	}
	return nil
}

// stopsAt says whether layers will end the build.
func (b *Builder) stopsAt(list []made) bool {
	for _, m := range list {
		if b.Secrecy.Stop && len(b.Secrecy.unallowed(m.found)) > 0 {
			return true
		}
	}
	return false
}

// scanned is a file whose content is looked through as it is read.
func scanned(f layers.File, scan *secrets.Scanner) layers.File {
	open := f.Open
	if open == nil || f.HardLink || !f.Mode.IsRegular() {
		return f
	}
	f.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		scan.File(f.Path)
		return struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r, scan), r}, nil
	}
	return f
}

// secrets are what is known of those in a layer of an image that was pushed: not
// where they are.
func (e remembered) secrets(ref string) []secrets.Finding {
	if !e.found {
		return nil
	}
	return []secrets.Finding{{Path: inLayers, What: "what was found when " + ref + " was built"}}
}

// inLayers stands for the path of a secret in a layer that stayed elsewhere.
const inLayers = "layer"
