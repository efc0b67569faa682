package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

// apt is lent one file of settings: what the host's apt says of proxies,
// certificates and clocks, the host's certificates and a place for archives.
func (l lender) apt(ctx context.Context) (oci.Access, error) {
	x := oci.Access{Env: l.proxies()}
	conf := []string{
		// An apt that changes to another user could not read what is lent.
		`APT::Sandbox::User "root";`,
	}
	if file := l.a.env.caBundle(); file != "" {
		x.Mounts = append(x.Mounts, lent(file, lentCA))
		conf = append(conf, fmt.Sprintf("Acquire::https::CAInfo %q;", lentCA))
	}
	for _, line := range l.aptSettings(ctx) {
		conf = append(conf, line)
		x.Mounts = append(x.Mounts, localPaths(strings.TrimSuffix(line, ";"))...)
		l.a.redact.add(urlSecrets(line)...)
	}
	if l.caches != nil {
		dir, err := l.caches("apt")
		if err != nil {
			return x, err
		}
		if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil { //nolint:gosec // apt reads it as whoever it is
			return x, err
		}
		target := lentDir + "/cache/apt"
		x.Mounts = append(x.Mounts, sandbox.Mount{Source: dir, Target: target})
		conf = append(conf, fmt.Sprintf("Dir::Cache::archives %q;", target+"/"),
			`APT::Keep-Downloaded-Packages "true";`, `Binary::apt::APT::Keep-Downloaded-Packages "true";`)
	}
	m, err := l.write("apt.conf", strings.Join(conf, "\n")+"\n")
	if err != nil {
		return x, err
	}
	x.Mounts = append(x.Mounts, m)
	x.Env = append(x.Env, "APT_CONFIG="+m.Target)
	return x, nil
}

// aptSettings are the host's own, where it has an apt. They count only if they
// differ from its defaults or say the same.
func (l lender) aptSettings(ctx context.Context) []string {
	out, err := l.a.command(ctx, "/", []string{"apt-config", "dump", "Acquire"})
	if err != nil {
		return nil // no apt here, or none that answers: nothing to lend
	}
	lends := regexp.MustCompile(`(?i)^Acquire::(https?|ftp)(::[^ ]*)? "|^Acquire::(Check-Valid-Until|Check-Date|Max-FutureTime|Retries|ForceIPv4|ForceIPv6) "`)
	proxy := regexp.MustCompile(`(?i)^Acquire::[a-z]+::Proxy(::[^ ]*)? "`)
	never := regexp.MustCompile(`(?i)Auto-?Detect|Verify-`) // programs of the host; less checking than the image asks for
	var lines []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if l.proxied && proxy.MatchString(line) {
			continue
		}
		if lends.MatchString(line) && !never.MatchString(line) && !strings.HasSuffix(line, ` "";`) {
			lines = append(lines, line)
		}
	}
	return lines
}
