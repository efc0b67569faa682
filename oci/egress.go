package oci

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// An Egress says what of the network steps that run have, whatever the plan says
// of one. The zero value leaves that to the plan.
type Egress struct {
	// Network is "none", or "proxy": nothing but HTTP and HTTPS, through us, to
	// the hosts in Allow.
	Network string
	// Allow are hosts, HOST, *.DOMAIN or either with a port; without one, ports
	// 80 and 443 are meant.
	Allow []string
}

// network is the network of a step.
func (e Egress) network(planned string) string {
	if e.Network == "" || planned == sandbox.NetworkNone {
		return planned
	}
	return e.Network
}

// keyed is the network of a step in keys: a proxy changes nothing of what comes.
func (e Egress) keyed(planned string) string {
	if e.Network == sandbox.NetworkNone {
		return sandbox.NetworkNone
	}
	return planned
}

// A RefusedHostsError says that a step failed that was refused hosts.
type RefusedHostsError struct {
	Hosts []string // with their ports, at least one
	Err   error    // how the step failed
}

func (e *RefusedHostsError) Error() string {
	return fmt.Sprintf("%v; it was refused %s", e.Err, strings.Join(e.Hosts, ", "))
}

func (e *RefusedHostsError) Unwrap() error { return e.Err }

// Hint says how to allow them.
func (e *RefusedHostsError) Hint() string {
	return "--allow-host " + strings.Join(e.Hosts, " --allow-host ") + " lets steps reach them"
}

// egress gives a step the network that it is to have. What it is refused is
// known once it has ended.
func (m *mounter) egress(ctx context.Context, c *sandbox.Command) error {
	c.Network = m.b.Egress.network(c.Network)
	if c.Network != sandbox.NetworkProxy {
		return nil
	}
	dir, err := os.MkdirTemp(m.b.Store.Scratch(), "proxy-")
	if err != nil {
		return fmt.Errorf("make proxy: %w", err)
	}
	m.releases = append(m.releases, func() { m.remove(context.WithoutCancel(ctx), dir) })
	l, err := listen(dir, sandbox.ProxySocket)
	if err != nil {
		return err
	}
	p := newForwarder(m.b)
	server := &http.Server{Handler: p, ReadHeaderTimeout: headTimeout}
	go func() { _ = server.Serve(l) }() // it ends when it is closed
	m.releases = append(m.releases, func() { server.Close(); p.close() })
	c.Proxy = dir
	m.b.forwarders.Store(dir, p)
	m.releases = append(m.releases, func() { m.b.forwarders.Delete(dir) })
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		c.Env = setEnv(c.Env, name, "http://"+sandbox.ProxyAddress)
	}
	c.Env = slices.DeleteFunc(c.Env, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.EqualFold(name, "no_proxy") || name == "PIP_PROXY"
	})
	if !m.foreign {
		c.Env = setEnv(c.Env, "PIP_PROXY", "http://"+sandbox.ProxyAddress) // more than a file of settings says
	}
	return nil
}

// explained is how a command failed, with the hosts that it was refused.
func (b *Builder) explained(c sandbox.Command, err error) error {
	if err == nil || c.Proxy == "" {
		return err
	}
	known, _ := b.forwarders.Load(c.Proxy)
	if f, ok := known.(*forwarder); ok {
		if hosts := f.refused(); len(hosts) > 0 {
			return &RefusedHostsError{hosts, err}
		}
	}
	return err
}

// headTimeout is how long a step may take to say what it wants, and dialTimeout
// how long a host may take to answer.
const (
	headTimeout = time.Minute
	dialTimeout = time.Minute
)

// A forwarder is an HTTP proxy that reaches some hosts.
type forwarder struct {
	b         *Builder
	proxy     func(*http.Request) (*url.URL, error) // upstream
	transport *http.Transport

	mu    sync.Mutex
	hosts []string // that were refused
	open  map[net.Conn]bool
}

func newForwarder(b *Builder) *forwarder {
	f := &forwarder{b: b, proxy: b.Client.Proxy, open: map[net.Conn]bool{}}
	if f.proxy == nil {
		f.proxy = http.ProxyFromEnvironment
	}
	f.transport = &http.Transport{Proxy: f.proxy, DisableCompression: true, ResponseHeaderTimeout: 5 * time.Minute}
	return f
}

// refused are the hosts that were asked for and are not allowed, sorted.
func (f *forwarder) refused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(slices.Values(f.hosts))
}

// close ends all connections.
func (f *forwarder) close() {
	f.transport.CloseIdleConnections()
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		c.Close()
	}
}

// ServeHTTP implements [http.Handler].
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port := r.URL.Host, "80"
	switch {
	case r.Method == http.MethodConnect:
		host, port = r.Host, "443"
	case r.URL.Scheme != "http" || host == "":
		http.Error(w, "kanso: this is a proxy for HTTP and HTTPS", http.StatusBadRequest)
		return
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	if !allows(f.b.Egress.Allow, host, port) {
		f.refuse(w, net.JoinHostPort(host, port))
		return
	}
	var err error
	if r.Method == http.MethodConnect {
		err = f.connect(w, r, net.JoinHostPort(host, port))
	} else {
		err = f.forward(w, r)
	}
	if err != nil {
		http.Error(w, "kanso: "+err.Error(), http.StatusBadGateway)
	}
}

// refuse tells the step and, once, whoever builds.
func (f *forwarder) refuse(w http.ResponseWriter, host string) {
	f.mu.Lock()
	told := slices.Contains(f.hosts, host)
	if !told {
		f.hosts = append(f.hosts, host)
	}
	f.mu.Unlock()
	if !told {
		f.b.note("a step was refused %s (--allow-host %s lets it)", host, host)
	}
	http.Error(w, "kanso: "+host+" is not an allowed host", http.StatusForbidden)
}

// allows says whether a list of hosts has one.
func allows(list []string, host, port string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(list, func(a string) bool {
		want, ports := strings.ToLower(a), []string{"80", "443"}
		if h, p, err := net.SplitHostPort(want); err == nil {
			want, ports = h, []string{p}
		}
		domain, any := strings.CutPrefix(want, "*.")
		match := host == want || any && strings.HasSuffix(host, "."+domain)
		return match && slices.Contains(ports, port)
	})
}

// forward passes a plain request on.
func (f *forwarder) forward(w http.ResponseWriter, r *http.Request) error {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Upgrade"} {
		out.Header.Del(name)
	}
	got, err := f.transport.RoundTrip(out)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	for name, values := range got.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(got.StatusCode)
	_, _ = io.Copy(w, got.Body) // who asked sees that it is cut
	return nil
}

// connect joins a step with a host until one of them ends.
func (f *forwarder) connect(w http.ResponseWriter, r *http.Request, host string) error {
	far, err := f.dial(r.Context(), host)
	if err != nil {
		return err
	}
	defer f.drop(far)
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return errors.New("the connection cannot be taken over")
	}
	near, buffered, err := hijacker.Hijack()
	if err != nil {
		return err
	}
	defer f.drop(near)
	f.mu.Lock()
	f.open[far], f.open[near] = true, true
	f.mu.Unlock()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return nil // there is nobody to be told
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, buffered)
		halfClose(far)
	}()
	_, _ = io.Copy(near, far)
	halfClose(near)
	<-done
	return nil
}

// halfClose says that no more comes.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

func (f *forwarder) drop(c net.Conn) {
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
}

// dial reaches a host, through the proxy that we have to use ourselves.
func (f *forwarder) dial(ctx context.Context, host string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	upstream, err := f.proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	if upstream == nil {
		return d.DialContext(ctx, "tcp", host)
	}
	if upstream.Scheme != "http" {
		return nil, fmt.Errorf("a proxy by %s cannot be passed through", upstream.Scheme)
	}
	at := upstream.Host
	if upstream.Port() == "" {
		at = net.JoinHostPort(upstream.Hostname(), "80")
	}
	c, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	if err := throughProxy(c, upstream, host); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// throughProxy asks a proxy to be connected with a host.
func throughProxy(c net.Conn, upstream *url.URL, host string) error {
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: host}, Host: host, Header: http.Header{}}
	if u := upstream.User; u != nil {
		password, _ := u.Password()
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := ask.Write(c); err != nil {
		return err
	}
	// The other side speaks second in TLS: nothing of it is read ahead.
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 4<<10), ask)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("proxy: %s", answer.Status)
	}
	return nil
}
