package oci

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// A KeychainConfig says where credentials come from.
type KeychainConfig struct {
	// Files are configurations in the form of Docker's config.json and of
	// containers' auth.json, in the order in which they are asked. Those that
	// are not there are passed over.
	Files []string
	// Helper runs docker-credential-HELPER get for a host and returns what it
	// prints; nil runs none.
	Helper func(ctx context.Context, helper, host string) ([]byte, error)
}

// Keychain returns the credentials of files and helpers. Each file is read when
// it is first asked for something. A file that cannot be read is an error for
// every host: going on without credentials would hide why.
func Keychain(cfg KeychainConfig) *Credentials { return &Credentials{cfg: cfg} }

// Credentials is an [authn.Keychain].
type Credentials struct{ cfg KeychainConfig }

var _ authn.ContextKeychain = (*Credentials)(nil)

// authFile is the part of the files that is about credentials.
type authFile struct {
	Auths       map[string]authEntry `json:"auths"`
	CredHelpers map[string]string    `json:"credHelpers"`
	CredsStore  string               `json:"credsStore"`
}

type authEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// A Source says where the credentials for a registry come from, never what
// they are.
type Source struct {
	File   string // empty if there are none
	Helper string // without "docker-credential-"; empty if they stand in File
	User   string
}

// Resolve implements [authn.Keychain].
func (k *Credentials) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), r)
}

// ResolveContext implements [authn.ContextKeychain].
func (k *Credentials) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	cfg, _, err := k.find(ctx, r.String())
	if err != nil || cfg == (authn.AuthConfig{}) {
		return authn.Anonymous, err
	}
	return authn.FromConfig(cfg), nil
}

// Source says where the credentials for a registry or repository come from.
func (k *Credentials) Source(ctx context.Context, repository string) (Source, error) {
	cfg, s, err := k.find(ctx, repository)
	s.User = cfg.Username
	return s, err
}

func (k *Credentials) find(ctx context.Context, repository string) (authn.AuthConfig, Source, error) {
	for _, file := range k.cfg.Files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return authn.AuthConfig{}, Source{}, fmt.Errorf("read credentials: %w", err)
		}
		var f authFile
		if err := json.Unmarshal(data, &f); err != nil {
			return authn.AuthConfig{}, Source{}, fmt.Errorf("read credentials in %s: %w", file, err)
		}
		cfg, helper, err := k.inFile(ctx, f, repository)
		if err != nil {
			return authn.AuthConfig{}, Source{}, fmt.Errorf("credentials for %s from %s: %w", host(repository), file, err)
		}
		if cfg != (authn.AuthConfig{}) {
			return cfg, Source{File: file, Helper: helper}, nil
		}
	}
	return authn.AuthConfig{}, Source{}, nil
}

// inFile looks in one file: a helper for the host, then entries, the most
// specific first, then the helper for all hosts.
func (k *Credentials) inFile(ctx context.Context, f authFile, repository string) (authn.AuthConfig, string, error) {
	names := spellings(host(repository))
	for _, n := range names {
		if h := f.CredHelpers[n]; h != "" {
			cfg, err := k.ask(ctx, h, n)
			return cfg, h, err
		}
	}
	if f.CredsStore != "" {
		for _, n := range names {
			cfg, err := k.ask(ctx, f.CredsStore, n)
			if err != nil || cfg != (authn.AuthConfig{}) {
				return cfg, f.CredsStore, err
			}
		}
	}
	cfg, err := f.entry(repository)
	return cfg, "", err
}

// entry is the most specific entry of a file for a repository.
func (f authFile) entry(repository string) (authn.AuthConfig, error) {
	for _, key := range keys(repository) {
		for have, e := range f.Auths {
			if normal(have) != key {
				continue
			}
			if cfg, err := e.config(); err != nil || cfg != (authn.AuthConfig{}) {
				return cfg, err
			}
		}
	}
	return authn.AuthConfig{}, nil
}

// host is the registry of a repository's name.
func host(repository string) string {
	h, _, _ := strings.Cut(repository, "/")
	return h
}

// spellings are the names under which a registry's credentials are kept.
func spellings(host string) []string {
	if hubName(host) == "docker.io" {
		return []string{"https://index.docker.io/v1/", "docker.io", name.DefaultRegistry, "registry-1.docker.io"}
	}
	return []string{host, "https://" + host}
}

// normal is a key of a file without what it is decorated with.
func normal(key string) string {
	for _, prefix := range []string{"https://", "http://"} {
		key = strings.TrimPrefix(key, prefix)
	}
	key = strings.TrimSuffix(key, "/")
	for _, suffix := range []string{"/v1", "/v2"} {
		key = strings.TrimSuffix(key, suffix)
	}
	first, rest, scoped := strings.Cut(key, "/")
	if first = hubName(first); scoped {
		return first + "/" + rest
	}
	return first
}

// keys are the keys that hold credentials for a repository: itself, what it is
// in, and the registry (containers-auth.json(5)).
func keys(repository string) []string {
	registry, rest, _ := strings.Cut(repository, "/")
	all := []string{hubName(registry)}
	at := hubName(registry)
	for part := range strings.SplitSeq(rest, "/") {
		if part != "" {
			at += "/" + part
			all = append([]string{at}, all...)
		}
	}
	return all
}

// config is an entry as credentials.
func (e authEntry) config() (authn.AuthConfig, error) {
	cfg := authn.AuthConfig{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth == "" {
		return cfg, nil
	}
	plain, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		return cfg, errors.New("the entry's auth is not base64") // not what it holds
	}
	user, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
	if !ok {
		return cfg, errors.New("the entry's auth is not user:password")
	}
	cfg.Username, cfg.Password = user, password
	return cfg, nil
}

// tokenUser is the user name with which helpers give an identity token.
const tokenUser = "<token>"

// ask asks a helper. A helper that knows nothing of the host gives nothing.
func (k *Credentials) ask(ctx context.Context, helper, host string) (authn.AuthConfig, error) {
	if k.cfg.Helper == nil {
		return authn.AuthConfig{}, nil
	}
	out, err := k.cfg.Helper(ctx, helper, host)
	if err != nil {
		text := string(out) + err.Error()
		if strings.Contains(text, "credentials not found") || strings.Contains(text, "no credentials server URL") {
			return authn.AuthConfig{}, nil
		}
		return authn.AuthConfig{}, err
	}
	var got struct{ Username, Secret string }
	if json.Unmarshal(out, &got) != nil {
		return authn.AuthConfig{}, fmt.Errorf("docker-credential-%s does not answer with JSON", helper)
	}
	if got.Username == tokenUser {
		return authn.AuthConfig{IdentityToken: got.Secret}, nil
	}
	return authn.AuthConfig{Username: got.Username, Password: got.Secret}, nil
}
