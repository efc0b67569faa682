package oci

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A RealmError says that a registry sends us to a place for tokens that is none
// of its own.
type RealmError struct{ Registry, Realm string }

func (e *RealmError) Error() string {
	return fmt.Sprintf("%s wants tokens to be got from %s, which is not of its domain", e.Registry, e.Realm)
}

// realmParameter is the realm in a challenge of the scheme Bearer (RFC 6750,
// section 3).
var realmParameter = regexp.MustCompile(`(?i)(?:^|[\s,])realm\s*=\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\s,"]+))`)

// checkRealms returns the places for tokens that challenges name, and refuses
// those on hosts of other domains, unless these are allowed. What addresses hosts
// have is judged when they are connected with.
func checkRealms(host string, challenges, allowed []string) ([]*url.URL, error) {
	var realms []*url.URL
	for _, c := range challenges {
		if !strings.Contains(strings.ToLower(c), "bearer") {
			continue
		}
		for _, m := range realmParameter.FindAllStringSubmatch(c, -1) {
			realm := m[1] + m[2]
			u, err := url.Parse(realm)
			if err != nil || u.Host == "" {
				continue // of Basic, or of no use to anybody
			}
			if !related(host, u.Host) && !slices.Contains(allowed, u.Host) && !slices.Contains(allowed, u.Hostname()) {
				return nil, &RealmError{host, u.Host}
			}
			realms = append(realms, u)
		}
	}
	return realms, nil
}

// related says whether a host may speak for another: they are the same, both of
// this machine, or of one domain. Addresses have no domain.
func related(a, b string) bool {
	a, b = bare(a), bare(b)
	if a == b || loopback(a) && loopback(b) {
		return true
	}
	da, db := domain(a), domain(b)
	return da != "" && da == db
}

// bare is a host in lower case, without its port.
func bare(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// domain is the part of a name that somebody registered: its last two labels,
// or three below country domains that are divided as in "co.uk". Of an address
// and of a name of one label it is empty.
func domain(host string) string {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	n := 2
	if l := len(labels); l > 2 && len(labels[l-1]) == 2 && len(labels[l-2]) <= 3 {
		n = 3
	}
	if net.ParseIP(host) != nil || len(labels) < n {
		return ""
	}
	return strings.Join(labels[len(labels)-n:], ".")
}

// loopback says whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dotted is a realm in another spelling if its host is an address that is not the
// registry's own: ggcr refuses such ones, also where the user allowed them or where
// the registry has a port of the same address for its tokens. [undotted] takes it
// back when the request is made; in between nobody connects with it.
func dotted(registry string, realm *url.URL) string {
	ip := net.ParseIP(realm.Hostname())
	if realm.Host == registry || ip == nil || ip.To4() == nil {
		return realm.String()
	}
	other := *realm
	other.Host = realm.Hostname() + "."
	if port := realm.Port(); port != "" {
		other.Host += ":" + port
	}
	return other.String()
}

// undotted is a host without what [dotted] added.
func undotted(host string) string {
	name, port, found := strings.Cut(host, ".:")
	if !found {
		name, found = strings.CutSuffix(host, ".")
	}
	if !found || net.ParseIP(name) == nil {
		return host
	}
	if port != "" {
		return name + ":" + port
	}
	return name
}
