package python

import (
	"bufio"
	"io"
	"path"
	"strings"
)

// Metadata is what a distribution says of itself (PyPA specification "Core
// metadata").
type Metadata struct {
	Name, Version string // as they are written
	// Expression is the licence in SPDX's language, License whatever text stands
	// there instead; both may be empty.
	Expression, License string
}

// IsMetadata says whether a path is where installers put a distribution's
// metadata: METADATA in *.dist-info, PKG-INFO in *.egg-info. What a distribution
// carries along under _vendor is part of it.
func IsMetadata(p string) bool {
	dir, name := path.Split(p)
	dir = strings.TrimSuffix(dir, "/")
	if path.Base(path.Dir(dir)) == "_vendor" {
		return false
	}
	return name == "METADATA" && strings.HasSuffix(dir, distInfo) || name == "PKG-INFO" && strings.HasSuffix(dir, eggInfo)
}

// ReadMetadata reads the fields that a file of metadata begins with. One without
// a name has none; nothing that it says is checked.
func ReadMetadata(r io.Reader) (Metadata, error) {
	var m Metadata
	s := bufio.NewScanner(io.LimitReader(r, smallLimit))
	s.Buffer(nil, smallLimit+1)
	for s.Scan() {
		line := strings.TrimRight(s.Text(), "\r")
		if line == "" {
			break // the description follows
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue // of a longer text, whose first line suffices
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "name":
			m.Name = value
		case "version":
			m.Version = value
		case "license-expression":
			m.Expression = value
		case "license":
			m.License = value
		}
	}
	return m, s.Err()
}
