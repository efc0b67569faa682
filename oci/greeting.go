package oci

import (
	"net/http"
	"sync"
)

// greeted remembers what registries answer to a greeting, the request of /v2/
// that tells how they want to be asked, so that each is greeted once.
type greeted struct {
	next    http.RoundTripper
	mu      sync.Mutex
	answers map[string]*http.Response // by URL; without bodies
}

func (g *greeted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.URL.Path != "/v2/" || r.Header.Get("Authorization") != "" {
		return g.next.RoundTrip(r)
	}
	at := r.URL.String()
	g.mu.Lock()
	known, ok := g.answers[at]
	g.mu.Unlock()
	if ok {
		answer := *known
		answer.Header, answer.Body, answer.Request = known.Header.Clone(), http.NoBody, r
		return &answer, nil
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusUnauthorized {
		return answer, err
	}
	kept := *answer
	kept.Header, kept.Body, kept.ContentLength, kept.TLS = answer.Header.Clone(), http.NoBody, 0, nil
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers[at] = &kept
	return answer, nil
}
