package secrets

import (
	"path"
	"regexp"
	"strings"
)

// variable is what the name of a variable looks like whose value is a secret.
var variable = regexp.MustCompile(`(?i)(^|_)(TOKEN|PASSWORD|PASSWD|PASS|SECRET|SECRET_?KEY|API_?KEY|ACCESS_KEY|AUTH_?KEY|PRIVATE_KEY|CREDENTIALS?)($|_)`)

// Variable says whether a variable looks as if its value were a secret, by its
// name or by what stands in it. The names of files are none.
func Variable(name, value string) bool {
	if value == "" || path.IsAbs(value) {
		return false
	}
	if variable.MatchString(name) && !plain(value) {
		return true
	}
	s := NewScanner()
	s.File("variable")
	_, _ = s.Write([]byte(value)) // it never fails
	return len(s.Found()) > 0
}

// plain says of the value of a variable with such a name if it is a setting all
// the same: a switch, a number, or less than a password has.
func plain(value string) bool {
	switch strings.ToLower(value) {
	case "true", "false", "none", "null":
		return true
	}
	return len(value) < 4 || strings.Trim(value, "0123456789.") == "" && len(value) < 8 || placeholder([]byte(value))
}

// installed says whether a file belongs to what package managers install, as
// far as its path tells. Where a distribution was installed from, which pip and uv
// note beside it, is the build's own.
func installed(p string) bool {
	for _, dir := range []string{"/site-packages/", "/dist-packages/"} {
		if _, rest, ok := strings.Cut("/"+p, dir); ok {
			top, _, _ := strings.Cut(rest, "/")
			return rest != top+"/direct_url.json" || !strings.HasSuffix(top, ".dist-info")
		}
	}
	for _, dir := range []string{
		"usr/lib/", "usr/lib64/", "usr/share/", "usr/include/", "usr/libexec/", "usr/bin/", "usr/sbin/", "lib/", "lib64/", "bin/", "sbin/",
		"usr/local/lib/python", "opt/venv/lib/python", "opt/conda/pkgs/", "opt/conda/lib/",
		"var/lib/apt/", "var/lib/dpkg/", "var/lib/rpm/", "var/cache/apt/", "var/cache/debconf/", // descriptions of packages have example URLs
	} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

// example says whether the name of a file says that it shows how another one is
// written.
func example(name string) bool {
	for _, word := range []string{".example", ".sample", ".template", ".dist", ".tmpl", ".j2"} {
		if strings.HasSuffix(name, word) {
			return true
		}
	}
	return false
}

// Likely says whether files of such a name often are secrets or hold some, so
// that it is worth looking before anything is built.
func Likely(p string) bool {
	base := path.Base(p)
	return namedRule(p) != nil || base == "pip.conf" || base == ".git-credentials" ||
		base == "config.json" && path.Base(path.Dir(p)) == ".docker" || base == "application_default_credentials.json"
}
