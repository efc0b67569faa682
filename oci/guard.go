package oci

import (
	"fmt"
	"net/http"
	"slices"
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
