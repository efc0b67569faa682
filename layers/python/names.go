package python

import (
	"path"
	"strings"
)

// The ends of the directories in which installers describe a distribution.
const (
	distInfo = ".dist-info"
	eggInfo  = ".egg-info"
)

// infoDir is the directory that describes a distribution and has p in it; for a
// description that is one file, that file. Empty if p is in none.
func infoDir(p string) string {
	if strings.HasSuffix(p, eggInfo) {
		return p
	}
	dir := path.Dir(p)
	for dir != "." && dir != "/" {
		if strings.HasSuffix(dir, distInfo) || strings.HasSuffix(dir, eggInfo) {
			return dir
		}
		dir = path.Dir(dir)
	}
	return ""
}

// distributionName is the normalized name of the distribution that a directory
// describes: NAME-VERSION.dist-info, NAME-VERSION[-pyX.Y].egg-info or
// NAME.egg-info.
func distributionName(info string) string {
	base := path.Base(info)
	if name, ok := strings.CutSuffix(base, distInfo); ok {
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		return normalized(name)
	}
	base = strings.TrimSuffix(base, eggInfo)
	for i := 1; i < len(base)-1; i++ { // a version begins with a digit
		if base[i] == '-' && base[i+1] >= '0' && base[i+1] <= '9' {
			base = base[:i]
			break
		}
	}
	return normalized(base)
}

// normalized is a name as indexes compare it (PyPA specification "Names and
// normalization").
func normalized(name string) string {
	var b strings.Builder
	run := false
	for _, r := range strings.ToLower(name) {
		if r == '-' || r == '_' || r == '.' {
			run = true
			continue
		}
		if run {
			b.WriteByte('-')
			run = false
		}
		b.WriteRune(r)
	}
	if run {
		b.WriteByte('-')
	}
	return b.String()
}

// sourceOf is the source that a .pyc was compiled from (PEP 3147, PEP 488);
// empty if p is none.
func sourceOf(p string) string {
	dir, name := path.Split(p)
	dir = strings.TrimSuffix(dir, "/")
	name, ok := strings.CutSuffix(name, ".pyc")
	if !ok || path.Base(dir) != "__pycache__" {
		return ""
	}
	if i := strings.LastIndex(name, ".opt-"); i > 0 {
		name = name[:i]
	}
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	return path.Join(path.Dir(dir), name[:i]+".py")
}

// inRoot is a path of a RECORD, relative to a directory or absolute, as one
// relative to the image's root.
func inRoot(dir, p string) string {
	if !path.IsAbs(p) {
		p = path.Join("/", dir, p)
	}
	return strings.TrimPrefix(path.Clean(p), "/")
}
