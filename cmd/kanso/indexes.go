package main

import (
	"bufio"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// pipLends says of an option of pip, as its configuration files spell it, if
// it tells where packages come from.
func pipLends(option string) bool {
	return slices.Contains([]string{
		"index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "cert", "client-cert", "proxy",
		"timeout", "default-timeout", "retries",
	}, option)
}

// uvLends says the same of a variable of uv without its prefix.
func uvLends(name string) bool {
	return strings.HasPrefix(name, "INDEX") || slices.Contains([]string{
		"DEFAULT_INDEX", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "INSECURE_HOST", "HTTP_TIMEOUT", "REQUEST_TIMEOUT",
		"HTTP_RETRIES", "NATIVE_TLS", "SYSTEM_CERTS", "CONCURRENT_DOWNLOADS", "OFFLINE",
	}, name)
}

// pipFiles are pip's configuration files, the strongest last.
func pipFiles(env environ) []string {
	var user []string
	if h := env.home(); h != "" {
		user = []string{filepath.Join(h, ".pip", "pip.conf"), filepath.Join(env.xdg("XDG_CONFIG_HOME", ".config"), "pip", "pip.conf")}
	}
	files := append([]string{"/etc/xdg/pip/pip.conf", "/etc/pip.conf"}, user...)
	if v := env["VIRTUAL_ENV"]; v != "" {
		files = append(files, filepath.Join(v, "pip.conf"))
	}
	if f := env["PIP_CONFIG_FILE"]; f == os.DevNull {
		return nil // pip's way to say that no file counts
	} else if f != "" {
		files = append(files, f)
	}
	return files
}

// pipConf is one configuration file that says of indexes what all those of the
// host say together, empty if they say nothing.
func pipConf(env environ) string {
	sections := map[string]map[string]string{}
	for _, file := range pipFiles(env) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // pip, too, reads those that it can
		}
		readINI(string(data), func(section, option, value string) {
			if !pipLends(option) {
				return
			}
			if sections[section] == nil {
				sections[section] = map[string]string{}
			}
			sections[section][option] = value
		})
	}
	var b strings.Builder
	for section, options := range sorted(sections) {
		b.WriteString("[" + section + "]\n")
		for option, value := range sorted(options) {
			b.WriteString(option + " = " + strings.ReplaceAll(value, "\n", "\n    ") + "\n")
		}
	}
	return b.String()
}

// readINI reads what Python's configparser reads, with each value's lines
// separated by newlines.
func readINI(text string, visit func(section, option, value string)) {
	var section, option string
	var value []string
	end := func() {
		if option != "" {
			visit(section, option, strings.TrimSpace(strings.Join(value, "\n")))
		}
		option, value = "", nil
	}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		line := s.Text()
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case option != "" && (line[0] == ' ' || line[0] == '\t'):
			value = append(value, trimmed)
		case trimmed[0] == '[':
			end()
			section, _, _ = strings.Cut(trimmed[1:], "]")
		default:
			end()
			name, v, ok := cutAny(trimmed, "=:")
			if ok && section != "" {
				option = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
				value = []string{strings.TrimSpace(v)}
			}
		}
	}
	end()
}

func cutAny(s, seps string) (before, after string, ok bool) {
	i := strings.IndexAny(s, seps)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// uvToml is the configuration file that uv would read outside of projects.
func (e environ) uvToml() string {
	for _, file := range []string{
		e["UV_CONFIG_FILE"], filepath.Join(e.xdg("XDG_CONFIG_HOME", ".config"), "uv", "uv.toml"), "/etc/uv/uv.toml",
	} {
		if isFile(file) {
			return file
		}
	}
	return ""
}

// localPaths lends the files and directories of the host that settings name,
// where they are: directories of wheels, indexes on disk, certificates. The
// directories that every image has are never lent.
func localPaths(settings string) []sandbox.Mount {
	var out []sandbox.Mount
	for _, word := range strings.FieldsFunc(settings, func(r rune) bool { return strings.ContainsRune(" \t\r\n,\"'=[]", r) }) {
		p := word
		if u, err := url.Parse(word); err == nil && u.Scheme == "file" {
			p = u.Path
		}
		if p = filepath.Clean(p); !filepath.IsAbs(p) || p == lentCA || strings.Count(p, "/") < 2 && system(p) {
			continue
		}
		if _, err := os.Stat(p); err == nil {
			out = append(out, lent(p, p))
		}
	}
	return out
}

// system says of a directory in the root if images have it for themselves.
func system(p string) bool {
	return slices.Contains([]string{
		"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin",
		"/srv", "/sys", "/tmp", "/usr", "/var",
	}, p)
}
