package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kanso-build/kanso/resolve/plan"
)

// ParseBytes reads a size as docker build takes it: a number of bytes, or one
// with a unit such as k, m or g, each 1024 of the one before.
func ParseBytes(s string) (int64, error) {
	number := strings.ToLower(strings.TrimSpace(s))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "b"), "i")
	shift := 0
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgt", number[n-1]); i >= 0 {
			number, shift = strings.TrimSpace(number[:n-1]), 10*(i+1)
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	bytes := v * float64(int64(1)<<shift)
	if err != nil || !(bytes >= 0) || bytes >= 1<<62 {
		return 0, fmt.Errorf("%q is not a size: want bytes, or a number with k, m or g", s)
	}
	return int64(bytes), nil
}

// ParseHost reads NAME:IP or NAME=IP, an address of the hosts of steps, and
// returns NAME=IP. The address "host-gateway" is that of the machine that
// builds, whose network the steps have.
func ParseHost(s string) (string, error) {
	name, address, ok := strings.Cut(s, "=")
	if !ok {
		name, address, ok = strings.Cut(s, ":")
	}
	if address == "host-gateway" {
		address = "127.0.0.1"
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	ip, err := netip.ParseAddr(address)
	if !ok || name == "" || strings.ContainsAny(name, " \t\n#") || err != nil || ip.Zone() != "" {
		return "", fmt.Errorf("%q is not a host: want NAME:IP", s)
	}
	return name + "=" + ip.String(), nil
}

// ParseNetwork reads the network of steps: default, host or none.
func ParseNetwork(s string) (string, error) {
	switch s {
	case "", "default", "host":
		return s, nil
	case "none":
		return s, nil
	}
	return "", fmt.Errorf("%q is not a network of steps: want default, host or none", s)
}

// ParseUlimit reads a limit of steps, NAME=SOFT[:HARD]; -1 is none.
func ParseUlimit(s string) (plan.Ulimit, error) {
	names := []string{
		"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
		"sigpending", "stack",
	}
	name, limits, ok := strings.Cut(s, "=")
	soft, hard, both := strings.Cut(limits, ":")
	if !both {
		hard = soft
	}
	l := plan.Ulimit{Name: name}
	var err1, err2 error
	l.Soft, err1 = strconv.ParseInt(soft, 10, 64)
	l.Hard, err2 = strconv.ParseInt(hard, 10, 64)
	switch {
	case !ok || err1 != nil || err2 != nil || l.Soft < -1 || l.Hard < -1:
		return l, fmt.Errorf("%q is not a limit: want NAME=SOFT[:HARD]", s)
	case !slices.Contains(names, name):
		return l, fmt.Errorf("%q is not a limit: want one of %s", name, strings.Join(names, ", "))
	case l.Hard >= 0 && (l.Soft > l.Hard || l.Soft < 0):
		return l, fmt.Errorf("%q: the soft limit is above the hard one", s)
	}
	return l, nil
}
