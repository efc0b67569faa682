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

// A secret is a value that steps may be given, in a file that nobody else can
// read.
type secret struct{ id, file string }

// secrets are the values of --secret, and of the settings' options of the same
// name, as files in a directory. The redactor knows them then.
func (a *app) secrets(flags []string, dir string) ([]secret, error) {
	var out []secret
	for _, f := range flags {
		id, data, err := a.secret(f)
		if err != nil {
			return nil, err
		}
		a.redact.add(string(data))
		file := filepath.Join(dir, fmt.Sprintf("secret-%d", len(out)))
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return nil, fmt.Errorf("--secret id=%s: %w", id, err)
		}
		out = append(out, secret{id, file})
	}
	return out, nil
}

// secret reads id=ID,src=FILE or id=ID,env=VAR, and returns the value. As with
// docker build, an ID alone is the name of a variable or else of a file.
func (a *app) secret(flag string) (id string, data []byte, err error) {
	var src, env, kind string
	for part := range strings.SplitSeq(flag, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "id":
			id = value
		case "src", "source":
			src = value
		case "env":
			env = value
		case "type":
			kind = value
		default:
			return "", nil, usagef("--secret: unknown word %q: want id=ID,src=FILE or id=ID,env=VAR", name)
		}
	}
	if kind == "env" && env == "" {
		src, env = "", src
	}
	if _, ok := a.env[id]; src == "" && env == "" && ok {
		env = id
	} else if src == "" && env == "" {
		src = id
	}
	if id == "" || src != "" && env != "" || kind != "" && kind != "env" && kind != "file" {
		return "", nil, usagef("--secret: want id=ID,src=FILE or id=ID,env=VAR")
	}
	if env != "" {
		value, ok := a.env[env]
		if !ok {
			return "", nil, usagef("--secret id=%s: variable %s is not set", id, env)
		}
		return id, []byte(value), nil
	}
	if data, err = os.ReadFile(src); err != nil {
		return "", nil, fmt.Errorf("--secret id=%s: %w", id, err)
	}
	return id, data, nil
}

// secretMounts are secrets as files for all steps of a project.
func secretMounts(secrets []secret) ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	for _, s := range secrets {
		if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`).MatchString(s.id) {
			return nil, usagef("--secret: %q is not an ID that a file could be called by", s.id)
		}
		out = append(out, lent(s.file, "/run/secrets/"+s.id))
	}
	return out, nil
}

// agents are the values of --ssh: sockets of agents by their ids.
func (a *app) agents(flags []string) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range flags {
		id, socket, named := strings.Cut(f, "=")
		if id == "" {
			return nil, usagef("--ssh %s: want default, or ID=SOCKET", f)
		}
		if !named {
			if socket = a.env["SSH_AUTH_SOCK"]; socket == "" {
				return nil, hinted(usagef("--ssh %s: there is no agent: SSH_AUTH_SOCK is not set", f), agentHint)
			}
		}
		info, err := os.Stat(socket)
		if err != nil {
			return nil, fmt.Errorf("--ssh %s: %w", f, err)
		}
		if info.Mode()&os.ModeSocket == 0 {
			return nil, hinted(usagef("--ssh %s: %s is not the socket of an agent, and kanso reads no keys", f, socket), agentHint)
		}
		if out[id], err = filepath.Abs(socket); err != nil {
			return nil, fmt.Errorf("--ssh %s: %w", f, err)
		}
	}
	return out, nil
}

// agentHint is how keys come to an agent.
const agentHint = "eval $(ssh-agent), ssh-add KEY, then --ssh default"

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
