// Package debian tells which Debian packages the files of an image belong to, by
// dpkg's database.
//
// It reads what dpkg wrote and takes it for hostile: what cannot be read says
// nothing. The package touches no file system and runs nothing.
package debian

import (
	"bufio"
	"io"
	"path"
	"strings"
)

// A Package is one that is installed.
type Package struct {
	Name, Version, Architecture string
	// Source is what it was built from, if that has another name.
	Source string
}

// IsDatabase says whether a path is where packages are written down: dpkg's own
// file, or one of those that images without dpkg have (status.d).
func IsDatabase(p string) bool {
	dir, name := path.Split(p)
	return p == "var/lib/dpkg/status" || dir == "var/lib/dpkg/status.d/" && !strings.HasSuffix(name, ".md5sums")
}

// fieldLimit is how long a line may be, in bytes.
const fieldLimit = 1 << 20

// Read reads the packages of such a file that are installed, in its order
// (deb-control(5), dpkg(1), "Package states"). A paragraph without a state is
// of an image without dpkg, and counts.
func Read(r io.Reader) ([]Package, error) {
	var list []Package
	var p Package
	state := ""
	end := func() {
		if p.Name != "" && p.Version != "" && (state == "" || strings.HasSuffix(state, " installed")) {
			list = append(list, p)
		}
		p, state = Package{}, ""
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, fieldLimit)
	for s.Scan() {
		line := s.Text()
		if strings.TrimSpace(line) == "" {
			end()
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "package":
			p.Name = value
		case "version":
			p.Version = value
		case "architecture":
			p.Architecture = value
		case "source":
			p.Source, _, _ = strings.Cut(value, " ") // a version may follow
		case "status":
			state = value
		}
	}
	end()
	return list, s.Err()
}
