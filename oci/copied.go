package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"

	"github.com/kanso-build/kanso/resolve/plan"
)

// A CopyReport tells what a Copy step copied.
type CopyReport struct {
	Stage string // if there are several
	Step  string
	Files int // regular files and links
	// Tree is a digest of their contents by where they are in the image: that of
	// golang.org/x/mod/sumdb/dirhash, in hexadecimal. A link's content is what it
	// leads to.
	Tree string
}

// noteCopied notes what a step copies, if somebody wants to know: of the set, what
// is no directory and was not in the image before.
func (b *Builder) noteCopied(st *state, c plan.Copy, set entries) {
	if !b.ReportCopied {
		return
	}
	r := CopyReport{Step: c.String()}
	if st.stage != nil {
		r.Stage = st.stage.label
	}
	h := sha256.New()
	for _, e := range set.sorted() {
		if e.Mode.IsDir() || e.opaque || e.adopted {
			continue
		}
		r.Files++
		sum := e.sum
		switch {
		case e.HardLink: // it is another name of one of the others
			sum = set[e.Link].sum
		case e.Mode&fs.ModeSymlink != 0:
			sum = sumOf(e.Link)
		}
		if sum == "" { // of a pipe or a device
			sum = sumOf("")
		}
		_, _ = io.WriteString(h, fmt.Sprintf("%s  %s\n", sum, e.Path)) // hashes take everything
	}
	r.Tree = hex.EncodeToString(h.Sum(nil))
	st.copied = append(st.copied, r)
}
