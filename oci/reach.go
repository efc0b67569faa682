package oci

import (
	"fmt"
	"net/netip"
)

// reach is from how far an address is reached: the more, the closer it is to us.
type reach int

const (
	everywhere reach = iota // public
	ofNetwork               // private (RFC 1918, RFC 4193, RFC 6598)
	ofMachine               // loopback
	ofNobody                // link-local, as metadata services are, multicast, or none at all
)

func (r reach) String() string {
	return [...]string{"public", "private", "loopback", "link-local"}[r]
}

// reachOf judges an address, whatever form it is written in: some stand for IPv4
// ones (RFC 6052, RFC 3056), and not all metadata services are link-local.
func reachOf(a netip.Addr) reach {
	a = a.Unmap().WithZone("")
	b := a.As16()
	switch {
	case within(a, "64:ff9b::/96"):
		return reachOf(netip.AddrFrom4([4]byte(b[12:])))
	case within(a, "2002::/16"):
		return reachOf(netip.AddrFrom4([4]byte(b[2:6])))
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(),
		within(a, "0.0.0.0/8"), within(a, "240.0.0.0/4"), within(a, "fd00:ec2::254/128"), within(a, "100.100.100.200/32"), within(a, "168.63.129.16/32"):
		return ofNobody
	case a.IsLoopback():
		return ofMachine
	case a.IsPrivate(), within(a, "100.64.0.0/10"):
		return ofNetwork
	}
	return everywhere
}

func within(a netip.Addr, prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a) }

// leadsTo says whether a registry may lead us to an address: to one that is no
// closer to us than its own.
func (r reach) leadsTo(a netip.Addr) bool {
	to := reachOf(a)
	return to <= r && to != ofNobody
}

// An AddressError says that a registry leads us, for tokens or for layers, to a
// host at an address that is closer to us than its own.
type AddressError struct {
	Registry string
	Host     string
	Address  string
	Kind     string // of the address: "private", "loopback" or "link-local"
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("%s leads to %s, which is at the %s address %s", e.Registry, e.Host, e.Kind, e.Address)
}
