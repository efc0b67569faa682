package python

import (
	"bytes"
	"path/filepath"
)

// Requested is the name of the empty file by which an installer says that a
// distribution was asked for by name (PEP 376).
const Requested = "REQUESTED"

// NameOf is the normalized name of the distribution that a directory describes,
// NAME-VERSION.dist-info.
func NameOf(info string) string { return distributionName(filepath.ToSlash(info)) }

// Normalized is a name as indexes compare it.
func Normalized(name string) string { return normalized(name) }

// Unrequested is a RECORD without the line of the file REQUESTED in a *.dist-info
// directory. Other lines keep their bytes.
func Unrequested(record []byte, info string) []byte {
	begin := []byte(info + "/" + Requested + ",")
	var out []byte
	for line := range bytes.Lines(record) {
		if !bytes.HasPrefix(line, begin) {
			out = append(out, line...)
		}
	}
	return out
}
