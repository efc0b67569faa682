package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kanso-build/kanso/oci"
)

// credentialFiles are where credentials are looked for, in this order.
func (e environ) credentialFiles() []string {
	var files []string
	add := func(parts ...string) {
		if parts[0] != "" {
			files = append(files, filepath.Join(parts...))
		}
	}
	add(e["REGISTRY_AUTH_FILE"])
	add(e["DOCKER_CONFIG"], "config.json")
	add(e["XDG_RUNTIME_DIR"], "containers", "auth.json")
	add(e.xdg("XDG_CONFIG_HOME", ".config"), "containers", "auth.json")
	if e["DOCKER_CONFIG"] == "" {
		add(e.home(), ".docker", "config.json")
	}
	return files
}

// store is what the host's files and helpers know.
func (a *app) store() *oci.Credentials {
	return oci.Keychain(oci.KeychainConfig{Files: a.env.credentialFiles(), Helper: a.credentialHelper})
}

// A maskedKeychain makes known to the redactor whatever credentials are used.
type maskedKeychain struct {
	*oci.Credentials
	redact *redactor
}

func (a *app) keychain() authn.Keychain { return maskedKeychain{a.store(), a.redact} }

// Resolve implements [authn.Keychain].
func (k maskedKeychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), r)
}

// ResolveContext implements [authn.ContextKeychain].
func (k maskedKeychain) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	auth, err := k.Credentials.ResolveContext(ctx, r)
	if err != nil {
		return nil, err
	}
	c, err := authn.Authorization(ctx, auth)
	if err != nil {
		return nil, err
	}
	k.redact.add(c.Password, c.Auth, c.IdentityToken, c.RegistryToken)
	return auth, nil
}

// credentials says where those for registries come from.
func (a *app) credentials(ctx context.Context, w io.Writer, registries []string) error {
	if len(registries) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REGISTRY\tUSER\tCREDENTIALS FROM")
	for _, r := range registries {
		s, err := a.store().Source(ctx, r)
		from := s.File
		switch {
		case err != nil:
			from = err.Error()
		case s.File == "":
			from = "none: it is asked without"
		case s.Helper != "":
			from += ", docker-credential-" + s.Helper
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", r, s.User, from)
	}
	return table.Flush()
}
