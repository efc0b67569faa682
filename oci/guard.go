package oci

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxRedirects is how many redirects are followed for one request.
const maxRedirects = 10

// guard refuses plain HTTP with hosts that were not named for it, also where a
// redirect or a registry's token service leads there, and token services that
// have nothing to do with the host that names them, and redirects without end.
type guard struct {
	next             http.RoundTripper
	routes           *routes
	insecure, realms []string
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if host := undotted(r.URL.Host); host != r.URL.Host {
		r = r.Clone(r.Context())
		r.URL.Host, r.Host = host, host
	}
	if r.URL.Scheme != "https" && !plainAllowed(r.URL.Host, g.insecure) {
		return nil, &PlainError{Host: r.URL.Host}
	}
	redirects := 0
	for via := r.Response; via != nil && via.Request != nil; via = via.Request.Response {
		if redirects++; redirects > maxRedirects {
			return nil, fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
	}
	resp, err := g.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	realms, err := checkRealms(r.URL.Host, resp.Header.Values("WWW-Authenticate"), g.realms)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	for _, realm := range realms {
		g.routes.leads(g.routes.origin(r), realm)
		for i, c := range resp.Header.Values("WWW-Authenticate") {
			resp.Header.Values("WWW-Authenticate")[i] = strings.ReplaceAll(c, realm.String(), dotted(r.URL.Host, realm))
		}
	}
	return resp, nil
}

// A PlainError says that a host would have been spoken with in plain HTTP.
type PlainError struct{ Host string }

func (e *PlainError) Error() string { return "plain HTTP is not allowed with " + e.Host }

// plainAllowed says whether plain HTTP may be spoken with a host.
func plainAllowed(host string, insecure []string) bool {
	h := bare(host)
	return loopback(h) || slices.Contains(insecure, host) || slices.Contains(insecure, h)
}

// telling is the error of a handshake, if there was one: a registry of this
// machine is asked by plain HTTP, too, whose answer then only hides the cause.
func telling(err error) error {
	var u *url.Error
	var remote *net.OpError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &u) && (errors.As(u, &certificate) || errors.As(u, &remote) && remote.Op == "remote error") {
		return u
	}
	return err
}
