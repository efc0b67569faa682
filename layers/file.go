// Package layers turns files into the tar layers of images and back: it writes
// and compresses layers, lists and unpacks them, shows several as one tree, and
// finds what a command changed.
//
// Everything it reads is taken for hostile: no entry of a layer is written
// outside the directory that it is unpacked into, and sizes and counts have
// limits. The package knows nothing of images, registries or ZenML, runs no
// process and mounts nothing.
package layers

import (
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// A File is one entry of a layer that is to be written.
type File struct {
	// Path is slash-separated and relative to the image's root: no leading
	// slash, clean.
	Path string
	// Mode has the type, the permissions, and setuid, setgid and sticky bits.
	Mode     fs.FileMode
	UID, GID int
	// Size is that of a regular file's content, in bytes.
	Size int64
	// Link is what a symbolic link points to or, with HardLink, the path of
	// the earlier entry that this one is another name of.
	Link     string
	HardLink bool
	// Time is the modification time; fractions of seconds are dropped.
	Time time.Time
	// Xattrs are extended attributes by their full names.
	Xattrs map[string]string
	// Major and Minor are the numbers of a device.
	Major, Minor int64
	// Open returns the content of a regular file; it may be nil if Size is 0.
	// What it returns is closed by who called it, and an error of Close counts.
	Open func() (io.ReadCloser, error)
}

// The names that mark deletions (OCI image specification, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// Whiteout returns the entry that deletes path from the layers below.
func Whiteout(p string) File {
	dir, name := path.Split(p)
	return File{Path: dir + whiteoutPrefix + name}
}

// Opaque returns the entry that deletes all that the layers below have in a
// directory.
func Opaque(dir string) File {
	return File{Path: path.Join(dir, opaqueName)}
}

// inRoot is a name of a tar as a clean path relative to the root. What climbs
// above the root stays in it, as in a chroot; the root itself is ".".
func inRoot(name string) string {
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	if p == "" {
		return "."
	}
	return p
}
