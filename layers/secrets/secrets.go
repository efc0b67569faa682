// Package secrets knows what credentials look like: in the bytes of files that
// go into layers, by the names of files, and by the names of variables. What it
// finds is told by place and kind, never by value.
//
// The rules are one table, [rules] in rules.go, and work on a stream: a
// [Scanner] holds a few kilobytes whatever it reads. Nothing is asked of any
// service, so it is not known if a credential is still good, and what follows
// no rule, such as a password in a program, is not found.
package secrets

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Version is that of the rules: it is raised when they find what they did not
// find before, and what was scanned with others has to be scanned again.
const Version = "1"

// A Finding is a place where a secret stands.
type Finding struct {
	// Path is of the file, with slashes and without one before it: relative to
	// the image's root, or to that of the sources for what was not put in an
	// image yet.
	Path string `json:"path"`
	// Line counts from 1; 0 is the file as a whole, or one that is no text.
	Line int    `json:"line,omitempty"`
	What string `json:"what"`
}

func (f Finding) String() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d: it has %s", f.Path, f.Line, f.What)
	}
	return f.Path + ": it has " + f.What
}

// An Error says that files with secrets would go into an image.
type Error struct {
	Found []Finding // at least one
}

// maxTold bounds how many findings an error tells of.
const maxTold = 20

func (e *Error) Error() string {
	var all []string
	for i, f := range e.Found {
		if i == maxTold {
			all = append(all, fmt.Sprintf("and %d more", len(e.Found)-i))
			break
		}
		all = append(all, f.String())
	}
	return "secrets would go into the image: " + strings.Join(all, "; ")
}

// Hint says what to do about it.
func (e *Error) Hint() string {
	return "add them to .dockerignore or let no step write them, or allow one with --allow-secret " + e.Found[0].Path
}

// Allowed says whether one of some paths is that of a finding, or of a
// directory above it. Slashes before a path do not count.
func Allowed(f Finding, paths []string) bool {
	at := strings.TrimLeft(path.Clean("/"+f.Path), "/")
	return slices.ContainsFunc(paths, func(p string) bool {
		p = strings.TrimLeft(path.Clean("/"+p), "/")
		return p != "" && (p == at || strings.HasPrefix(at, p+"/"))
	})
}
