package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"
)

// routes are the connections of a client. Where the user named a host they lead
// to it, wherever it is. A host that a registry named, as a place of tokens, of
// layers or of uploads, is judged by the address that is connected with, and
// connections of the two kinds are never shared: a name may stand for another
// address each time it is asked for.
type routes struct {
	own   *http.Transport           // to hosts that the user named, and to proxies
	far   [ofNobody]*http.Transport // to those that registries of each reach named
	named []string                  // hosts that may be anywhere

	mu    sync.Mutex
	reach map[string]reach  // of hosts that the user named, as they were connected with
	led   map[string]string // which registry named a place
}

func newRoutes(c *Client) *routes {
	t := &routes{named: slices.Concat(c.Realms, c.Insecure), reach: map[string]reach{}, led: map[string]string{}}
	proxy := c.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	dialer := net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second, Resolver: c.Resolver}
	t.own = transportOf(c, proxy, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil {
			t.connected(address, conn.RemoteAddr())
		}
		return conn, err
	})
	for from := range t.far {
		judged := dialer
		judged.Control = judge(reach(from))
		t.far[from] = transportOf(c, nil, judged.DialContext)
	}
	return t
}

func transportOf(c *Client, proxy func(*http.Request) (*url.URL, error), dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		Proxy:               proxy,
		DialContext:         dial,
		TLSClientConfig:     &tls.Config{RootCAs: c.RootCAs, Certificates: c.Certificates, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 20 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: parallel,
		ForceAttemptHTTP2:   true,
	}
}

// judge refuses, for a registry of a reach, addresses at the moment in which they
// would be connected with.
func judge(from reach) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err == nil && !from.leadsTo(a.Addr()) {
			return &AddressError{Address: a.Addr().String(), Kind: reachOf(a.Addr()).String()}
		}
		return err
	}
}

// connected notes how far a host is; the farthest counts.
func (t *routes) connected(address string, at net.Addr) {
	a, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	host := bare(address)
	if known, ok := t.reach[host]; !ok || reachOf(a.Addr()) < known {
		t.reach[host] = reachOf(a.Addr())
	}
}

// leads notes that a registry named a place.
func (t *routes) leads(registry string, place *url.URL) {
	if place.Host == registry {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.led[placeOf(place)] = registry
}

func placeOf(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// origin is the host that led to a request, by redirects or otherwise; one that
// the user named leads to itself.
func (t *routes) origin(r *http.Request) string {
	for r.Response != nil && r.Response.Request != nil {
		r = r.Response.Request
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if registry, ok := t.led[placeOf(r.URL)]; ok {
		return registry
	}
	return r.URL.Host
}

// reachOf is how far a host is that the user named. Behind a proxy that is not
// known, and it counts as far.
func (t *routes) reachOf(host string) reach {
	if a, err := netip.ParseAddr(host); err == nil {
		return min(reachOf(a), ofMachine)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return min(t.reach[host], ofMachine)
}

func (t *routes) RoundTrip(r *http.Request) (*http.Response, error) {
	origin, host := t.origin(r), bare(r.URL.Host)
	if host == bare(origin) || slices.Contains(t.named, host) || slices.Contains(t.named, r.URL.Host) {
		return t.own.RoundTrip(r)
	}
	from := t.reachOf(bare(origin))
	proxy, err := t.own.Proxy(r)
	if err != nil {
		return nil, err
	}
	if proxy != nil { // it looks names up, and we judge addresses only
		if a, err := netip.ParseAddr(host); err == nil && !from.leadsTo(a) {
			return nil, &AddressError{origin, r.URL.Host, a.String(), reachOf(a).String()}
		}
		return t.own.RoundTrip(r)
	}
	resp, err := t.far[from].RoundTrip(r)
	if refused := (*AddressError)(nil); errors.As(err, &refused) {
		return nil, &AddressError{origin, r.URL.Host, refused.Address, refused.Kind}
	}
	return resp, err
}
