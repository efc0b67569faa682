package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// secretMounts are the values of --secret as files for steps.
func (a *app) secretMounts(flags []string, dir string) ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	for _, f := range flags {
		id, file, err := a.secret(f, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, lent(file, "/run/secrets/"+id))
	}
	return out, nil
}

// secret reads id=ID,src=FILE or id=ID,env=VAR and returns a file with the
// value, which is known to the redactor then.
func (a *app) secret(flag, dir string) (id, file string, err error) {
	var src, env string
	for part := range strings.SplitSeq(flag, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "id":
			id = value
		case "src", "source":
			src = value
		case "env":
			env = value
		case "type": // as Docker has it
		default:
			return "", "", usagef("--secret: unknown word %q: want id=ID,src=FILE or id=ID,env=VAR", name)
		}
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`).MatchString(id) || (src == "") == (env == "") {
		return "", "", usagef("--secret: want id=ID,src=FILE or id=ID,env=VAR")
	}
	var data []byte
	if env != "" {
		value, ok := a.env[env]
		if !ok {
			return "", "", usagef("--secret id=%s: variable %s is not set", id, env)
		}
		data = []byte(value)
	} else if data, err = os.ReadFile(src); err != nil {
		return "", "", fmt.Errorf("--secret id=%s: %w", id, err)
	}
	a.redact.add(string(data))
	file = filepath.Join(dir, "secret-"+id)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return "", "", fmt.Errorf("--secret id=%s: %w", id, err)
	}
	return id, file, nil
}

// envSecrets are the values of the environment that look secret: by their
// name, or as the password in a URL.
func envSecrets(env environ) []string {
	named := regexp.MustCompile(`(?i)(^|_)(TOKEN|PASSWORD|PASSWD|PASS|SECRET|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS)($|_)`)
	var out []string
	for name, value := range env {
		out = append(out, urlSecrets(value)...)
		if named.MatchString(name) && len(value) >= 8 && !filepath.IsAbs(value) {
			out = append(out, value)
		}
	}
	return out
}

// urlSecrets are the passwords of the URLs in a text, and the names of users
// without one, which are tokens.
func urlSecrets(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`://([^\s/@:"']*)(?::([^\s/@"']*))?@`).FindAllStringSubmatch(text, -1) {
		secret := m[2]
		if secret == "" {
			secret = m[1]
		}
		if secret == "" || secret == "git" {
			continue
		}
		out = append(out, secret, unescape(secret))
	}
	return out
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// netrcSecrets are the passwords in a netrc file.
func netrcSecrets(text string) []string {
	var out []string
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i++ {
		if words[i] == "password" || words[i] == "account" {
			out = append(out, words[i+1])
		}
	}
	return out
}
