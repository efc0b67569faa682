package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// Where what the host lends is in the image.
const (
	lentDir   = "/run/kanso"
	lentCA    = lentDir + "/ca.pem"
	lentNetrc = lentDir + "/netrc"
)

// A lender collects what the host lends to package managers: how they reach
// their indexes and what they keep between builds. What would change what they
// do is not lent.
type lender struct {
	a *app
	// dir is a private directory for files that are written for a step.
	dir string
	// proxied says that steps have a proxy of ours, and no use for others.
	proxied bool
	// caches returns a package manager's directory to keep downloads in; nil
	// lends none.
	caches func(manager string) (string, error)
}

// access returns what package managers are lent, of those that wanted says are used.
func (l lender) access(ctx context.Context, wanted func(manager string) bool) (map[string]oci.Access, error) {
	out := map[string]oci.Access{}
	for manager, lend := range map[string]func(context.Context) (oci.Access, error){
		"pip": l.pip, "uv": l.uv, "apt": l.apt,
	} {
		if !wanted(manager) {
			continue
		}
		x, err := lend(ctx)
		if err != nil {
			return nil, fmt.Errorf("settings for %s: %w", manager, err)
		}
		out[manager] = x
	}
	return out, nil
}

// anybody wants every package manager.
func anybody(string) bool { return true }

// usedBy says which package managers steps of images use.
func usedBy(images []*target) func(manager string) bool {
	used := map[string]bool{}
	for _, t := range images {
		for _, s := range t.Plan.Stages {
			for _, step := range s.Steps {
				switch step := step.(type) {
				case plan.Install:
					used[step.Installer] = true
				case plan.Run:
					for _, manager := range step.Packages {
						used[manager] = true
					}
				}
			}
		}
	}
	return func(manager string) bool { return used[manager] }
}

// shared is what pip and uv are lent alike.
func (l lender) shared() oci.Access {
	env := l.a.env
	x := oci.Access{Env: l.proxies()}
	if file := env.caBundle(); file != "" {
		x.Mounts = append(x.Mounts, lent(file, lentCA))
		for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"} {
			x.Env = append(x.Env, name+"="+lentCA)
		}
	}
	netrc := env["NETRC"]
	if netrc == "" && env.home() != "" {
		netrc = filepath.Join(env.home(), ".netrc")
	}
	if isFile(netrc) {
		x.Mounts = append(x.Mounts, lent(netrc, lentNetrc))
		x.Env = append(x.Env, "NETRC="+lentNetrc)
		if data, err := os.ReadFile(netrc); err == nil {
			l.a.redact.add(netrcSecrets(string(data))...)
		}
	}
	return x
}

func (l lender) pip(context.Context) (oci.Access, error) {
	x := l.shared()
	bundle := l.a.env.caBundle()
	if bundle != "" {
		x.Env = append(x.Env, "PIP_CERT="+lentCA)
	}
	for name, value := range sorted(l.a.env) {
		if setting, ok := strings.CutPrefix(name, "PIP_"); ok && pipLends(strings.ReplaceAll(strings.ToLower(setting), "_", "-")) {
			if value == bundle {
				value = lentCA // nothing is mounted over the image's own
			}
			x.Env = append(x.Env, name+"="+value)
			x.Mounts = append(x.Mounts, localPaths(value)...)
		}
	}
	if conf := pipConf(l.a.env); conf != "" {
		l.a.redact.add(urlSecrets(conf)...)
		if bundle != "" {
			conf = strings.ReplaceAll(conf, "cert = "+bundle+"\n", "cert = "+lentCA+"\n")
		}
		m, err := l.write("pip.conf", conf)
		if err != nil {
			return x, err
		}
		x.Mounts = append(x.Mounts, m)
		x.Mounts = append(x.Mounts, localPaths(conf)...)
		x.Env = append(x.Env, "PIP_CONFIG_FILE="+m.Target)
	}
	return l.cache(x, "pip", "PIP_CACHE_DIR")
}

func (l lender) uv(context.Context) (oci.Access, error) {
	x := l.shared()
	for name, value := range sorted(l.a.env) {
		if setting, ok := strings.CutPrefix(name, "UV_"); ok && uvLends(setting) {
			x.Env = append(x.Env, name+"="+value)
			x.Mounts = append(x.Mounts, localPaths(value)...)
		}
	}
	if file := l.a.env.uvToml(); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return x, err
		}
		l.a.redact.add(urlSecrets(string(data))...)
		x.Mounts = append(x.Mounts, lent(file, lentDir+"/uv.toml"))
		x.Mounts = append(x.Mounts, localPaths(string(data))...)
		x.Env = append(x.Env, "UV_CONFIG_FILE="+lentDir+"/uv.toml")
	}
	x.Env = append(x.Env, "UV_LINK_MODE=copy")
	x, err := l.cache(x, "uv", "UV_CACHE_DIR")
	if err != nil || l.caches == nil {
		return x, err
	}
	// uv unpacks wheels in its cache: that is the files' only copy if the cache is new.
	m := &x.Mounts[len(x.Mounts)-1]
	m.Kind, m.Vars = sandbox.MountPackages, []string{"UV_LINK_MODE=hardlink"}
	m.Linked, err = l.caches("uv-linked")
	return x, err
}

// cache lends a directory to keep downloads in.
func (l lender) cache(x oci.Access, manager, name string) (oci.Access, error) {
	if l.caches == nil {
		return x, nil
	}
	dir, err := l.caches(manager)
	if err != nil {
		return x, err
	}
	target := lentDir + "/cache/" + manager
	x.Mounts = append(x.Mounts, sandbox.Mount{Source: dir, Target: target})
	x.Env = append(x.Env, name+"="+target)
	return x, nil
}

// write lends a file with the given content.
func (l lender) write(name, content string) (sandbox.Mount, error) {
	file := filepath.Join(l.dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return sandbox.Mount{}, err
	}
	return lent(file, lentDir+"/"+name), nil
}

func lent(source, target string) sandbox.Mount {
	return sandbox.Mount{Source: source, Target: target, ReadOnly: true}
}

// proxyNames are the variables with proxies, in both of the usual cases.
func proxyNames() []string {
	return []string{
		"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
		"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
	}
}

func (l lender) proxies() []string {
	var out []string
	for _, name := range proxyNames() {
		if value := l.a.env[name]; value != "" {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// caBundle is the host's file of certificate authorities, empty if it has none.
func (e environ) caBundle() string {
	for _, file := range []string{
		e["SSL_CERT_FILE"], e["REQUESTS_CA_BUNDLE"], e["CURL_CA_BUNDLE"],
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
	} {
		if isFile(file) {
			return file
		}
	}
	return ""
}

func isFile(name string) bool {
	if !filepath.IsAbs(name) {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// sorted yields a map in the order of its keys.
func sorted[V any](m map[string]V) func(func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
