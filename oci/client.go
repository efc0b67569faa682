// Package oci carries out plans and moves images: it gets bases from registries
// and archives, puts layers on them, and pushes the result or writes it to a
// file.
//
// Everything a registry or an archive says is checked against digests while it
// is read; credentials go to the host that they are for and to no other. The
// package never needs a Docker daemon, never unpacks a layer unless a step has
// to run, and decides nothing about what goes into an image: that stands in the
// plan.
package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrNotFound is wrapped by the errors for images, tags and layers that are
// not there.
var ErrNotFound = errors.New("not found")

// Blobs keeps what was read from registries. *cache.Dir is one.
type Blobs interface {
	Blob(digest v1.Hash) (file string, ok bool)
	PutBlob(ctx context.Context, write func(w io.Writer) (v1.Hash, error)) error
	Value(kind, key string) ([]byte, bool, error)
	PutValue(kind, key string, data []byte) error
}

// A Client gets images from registries and archives and pushes them. The zero
// value reaches registries without credentials. Plain HTTP is spoken with
// loopback addresses and with hosts in Insecure only.
type Client struct {
	// Keychain has the credentials, each bound to its host; nil has none.
	Keychain authn.Keychain
	// Mirrors are asked, in order, before the registry that they stand for.
	Mirrors []Mirror
	// Insecure are hosts, with their port if it is not the usual one, that may
	// speak plain HTTP.
	Insecure []string
	// RootCAs certify registries; nil are the system's.
	RootCAs *x509.CertPool
	// Certificates are what we show registries that ask for one.
	Certificates []tls.Certificate
	// Realms are hosts that may give tokens for registries of other domains, and
	// to which registries may lead wherever they are.
	Realms []string
	// Resolver looks names of hosts up; nil is the system's.
	Resolver *net.Resolver
	// Proxy is as in [http.Transport]; nil takes it from the environment.
	Proxy func(*http.Request) (*url.URL, error)
	// UserAgent is what requests say of us.
	UserAgent string
	// Progress is told of transfers and retries; it may be nil.
	Progress Progress
	// Cache keeps manifests, configurations and layers; it may be nil.
	Cache Blobs
	// Pins are digests that bases have to have, by their references; a registry is
	// asked for them and not for what a tag has become.
	Pins map[string]v1.Hash
	// Now is the clock that says when a registry wants to be asked again; nil
	// waits by our own rule.
	Now func() time.Time
	// Sleep waits before something is tried again, for so long or until the
	// context ends; nil does so by a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Stall is how long a registry may be silent; zero is five minutes before it
	// answers (it hashes what it was sent) and one within a transfer.
	Stall time.Duration

	once   sync.Once
	routes *routes // without the guard
	rt     http.RoundTripper

	mu      sync.Mutex
	reader  *remote.Puller
	writers map[string]http.RoundTripper // by the scopes that they have
	flights map[string]*flight           // by what is done once
	tags    map[string]*question         // what they were when this client asked or put them
	stands  map[string]*standing         // by repository
}

// transport is what all requests go through.
func (c *Client) transport() http.RoundTripper {
	c.once.Do(func() {
		c.routes = newRoutes(c)
		g := guard{watched{c.routes, c.Stall}, c.routes, c.Insecure, c.Realms}
		c.rt = &greeted{next: patient{g, c}, answers: map[string]*greeting{}}
	})
	return c.rt
}

// unguarded is the transport for what is no registry, without its rules.
func (c *Client) unguarded() http.RoundTripper {
	c.transport()
	return watched{c.routes.own, c.Stall}
}

// nameOptions are how names of a host are read.
func (c *Client) nameOptions(ref string) []name.Option {
	host, _, _ := strings.Cut(ref, "/")
	if slices.Contains(c.Insecure, host) {
		return []name.Option{name.Insecure}
	}
	if h, _, err := net.SplitHostPort(host); err == nil && slices.Contains(c.Insecure, h) {
		return []name.Option{name.Insecure}
	}
	return nil
}

// ParseTag reads the name that an image is to be pushed to; without a tag it
// is "latest". A digest is refused.
func (c *Client) ParseTag(s string) (name.Tag, error) {
	t, err := name.NewTag(s, c.nameOptions(s)...)
	if err != nil {
		return name.Tag{}, fmt.Errorf("name %q: %w", s, err)
	}
	if climbs(t.RepositoryStr()) {
		return name.Tag{}, fmt.Errorf("name %q: a repository is no path that climbs", s)
	}
	return t, nil
}

// climbs says whether a repository's name would be another one as a part of a
// URL; ggcr accepts dots alone.
func climbs(repository string) bool {
	return strings.Contains("/"+repository+"/", "/../") || strings.Contains("/"+repository+"/", "/./")
}

// puller reads from registries, with one greeting and one token for each
// repository.
func (c *Client) puller() (*remote.Puller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reader != nil {
		return c.reader, nil
	}
	keychain := c.Keychain
	if keychain == nil {
		keychain = anonymous{}
	}
	var err error
	c.reader, err = remote.NewPuller(
		remote.WithAuthFromKeychain(keychain), remote.WithTransport(c.transport()),
		remote.WithUserAgent(c.UserAgent), remote.WithJobs(parallel),
		// The transport tries again, and says so.
		remote.WithRetryStatusCodes(), remote.WithRetryPredicate(func(error) bool { return false }),
	)
	return c.reader, err
}

// anonymous has no credentials.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// authorized returns a client whose requests have a repository's credentials
// for the actions of scopes. Redirects to other hosts lose them.
func (c *Client) authorized(ctx context.Context, repo name.Repository, scopes ...string) (*http.Client, error) {
	at := repo.Name() + " " + strings.Join(scopes, " ")
	c.mu.Lock()
	rt, ok := c.writers[at]
	c.mu.Unlock()
	if ok {
		return &http.Client{Transport: rt}, nil
	}
	auth := authn.Anonymous
	if c.Keychain != nil {
		var err error
		if auth, err = authn.Resolve(ctx, c.Keychain, repo); err != nil {
			return nil, fmt.Errorf("credentials for %s: %w", repo.RegistryStr(), err)
		}
	}
	rt = c.transport()
	if c.UserAgent != "" {
		rt = transport.NewUserAgent(rt, c.UserAgent)
	}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, rt, scopes)
	if err != nil {
		return nil, telling(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writers == nil {
		c.writers = map[string]http.RoundTripper{}
	}
	c.writers[at] = rt
	return &http.Client{Transport: rt}, nil
}

// parallel is how many transfers are under way at once.
const parallel = 4

func (c *Client) progress() Progress { return heard(c.Progress) }

// value and keep are the cache's, if there is one.
func (c *Client) value(kind, key string) ([]byte, bool) {
	if c.Cache == nil {
		return nil, false
	}
	data, ok, err := c.Cache.Value(kind, key)
	return data, ok && err == nil
}

func (c *Client) keep(kind, key string, data []byte) {
	if c.Cache == nil {
		return
	}
	if err := c.Cache.PutValue(kind, key, data); err != nil {
		c.progress().Note(fmt.Sprintf("keep %s of %s: %v", kind, key, err))
	}
}
