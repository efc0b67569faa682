package oci

import (
	"net/http"
	"sync"
)

// greeted remembers what registries answer to a greeting, the request of /v2/
// that tells how they want to be asked, so that each is greeted once, also by
// several at the same time.
type greeted struct {
	next    http.RoundTripper
	mu      sync.Mutex
	answers map[string]*greeting // by URL
}

// A greeting is what one registry answered.
type greeting struct {
	turn   chan struct{}  // has one value while nobody asks
	answer *http.Response // without a body; nil until there is one
}

func (g *greeted) of(url string) *greeting {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.answers[url] == nil {
		g.answers[url] = &greeting{turn: make(chan struct{}, 1)}
		g.answers[url].turn <- struct{}{}
	}
	return g.answers[url]
}

func (g *greeted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.URL.Path != "/v2/" || r.Header.Get("Authorization") != "" {
		return g.next.RoundTrip(r)
	}
	at := g.of(r.URL.String())
	select {
	case <-at.turn:
		defer func() { at.turn <- struct{}{} }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if at.answer != nil {
		known := *at.answer
		known.Header, known.Request = at.answer.Header.Clone(), r
		return &known, nil
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusUnauthorized {
		return answer, err
	}
	kept := *answer
	kept.Header, kept.Body, kept.ContentLength, kept.TLS = answer.Header.Clone(), http.NoBody, 0, nil
	at.answer = &kept
	return answer, nil
}
