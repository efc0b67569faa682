package oci

import (
	"fmt"
	"net/netip"
	"slices"
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

// Addresses that stand for IPv4 ones (RFC 6052, RFC 3056), shared ones of
// providers (RFC 6598), and metadata services that are not link-local.
var (
	translated = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	shared     = netip.MustParsePrefix("100.64.0.0/10")
	metadata   = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16")}
)

// reachOf judges an address, whatever form it is written in.
func reachOf(a netip.Addr) reach {
	a = a.Unmap().WithZone("")
	b := a.As16()
	switch {
	case translated.Contains(a):
		return reachOf(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(a):
		return reachOf(netip.AddrFrom4([4]byte(b[2:6])))
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), slices.Contains(metadata, a), a.Is4() && (b[12] == 0 || b[12] >= 240):
		return ofNobody
	case a.IsLoopback():
		return ofMachine
	case a.IsPrivate(), shared.Contains(a):
		return ofNetwork
	}
	return everywhere
}

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
