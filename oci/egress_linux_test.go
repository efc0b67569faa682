package oci_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// reach asks URLs as programs do that know of proxies, addresses as others do, and
// prints how that ended.
func reach(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{Proxy: proxied}}
	for _, a := range args {
		if !strings.Contains(a, "://") {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", a)
			if err == nil {
				c.Close()
			}
			fmt.Println(err == nil)
			continue
		}
		if rest, ok := strings.CutPrefix(a, "connect://"); ok {
			fmt.Println(connect(ctx, rest))
			continue
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, a, nil)
		if err != nil {
			return err
		}
		got, err := client.Do(r)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			return err
		}
		fmt.Println(got.StatusCode, strings.TrimSpace(string(data)))
	}
	return nil
}

// proxied is the proxy of the environment, also for addresses of loopback, which
// Go's own function leaves out.
func proxied(*http.Request) (*url.URL, error) {
	if p := os.Getenv("http_proxy"); p != "" {
		return url.Parse(p)
	}
	return nil, nil //nolint:nilnil // as in http.Transport
}

// connect asks the proxy for a tunnel and says something through it.
func connect(ctx context.Context, host string) string {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", sandbox.ProxyAddress)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
	r := bufio.NewReader(c)
	got, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err.Error()
	}
	got.Body.Close() // a tunnel has none
	if got.StatusCode != http.StatusOK {
		return got.Status
	}
	fmt.Fprintf(c, "GET /tunnel HTTP/1.0\r\n\r\n")
	through, err := http.ReadResponse(r, nil)
	if err != nil {
		return err.Error()
	}
	defer through.Body.Close()
	data, _ := io.ReadAll(through.Body)
	return string(data)
}

// failing reaches as reach does and fails then.
func failing(args ...string) error {
	return errors.Join(reach(args...), errors.New("on purpose"))
}

// webSite is a server of the machine that says its name and what was asked.
func webSite(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestAStepReachesAllowedHostsThroughTheProxyAndNothingElse(t *testing.T) {
	base := runBase(t, usual()...)
	good, other := webSite(t, "good"), webSite(t, "other")
	for way, w := range ways() {
		t.Run(way, func(t *testing.T) {
			b, out := running(t, w, nil)
			b.Client.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // as in http.Transport
			b.Egress = oci.Egress{Network: sandbox.NetworkProxy, Allow: []string{good}}
			build := func(r plan.Run) (*oci.Image, error) {
				out.Reset()
				return b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{r}}}})
			}
			img, err := build(run("reach", "http://"+good+"/simple", "connect://"+good, "http://"+other+"/x", "connect://"+other, good, other, "192.0.2.1:80"))
			if w.mode == sandbox.ModeChroot {
				if !errors.Is(err, sandbox.ErrUnavailable) {
					t.Errorf("without namespaces: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err, out.String())
			}
			want := "200 good /simple\ngood /tunnel\n403 kanso: " + other + " is not an allowed host\n403 Forbidden\nfalse\nfalse\nfalse\n"
			if out.String() != want {
				t.Errorf("the step says %q, want %q", out.String(), want)
			}
			raw, err := img.RawConfigFile()
			if err != nil || strings.Contains(strings.ToLower(string(raw)), "proxy") {
				t.Errorf("the image says %s, %v", raw, err)
			}
			_, err = build(run("failing", "http://"+other+"/x"))
			var refused *oci.RefusedHostsError
			var exit *sandbox.ExitError
			if !errors.As(err, &refused) || len(refused.Hosts) != 1 || refused.Hosts[0] != other || !errors.As(err, &exit) {
				t.Errorf("a step that fails: %v", err)
			}
			if refused != nil && refused.Hint() != "--allow-host "+other+" lets steps reach them" {
				t.Errorf("hint: %s", refused.Hint())
			}
			b.Egress = oci.Egress{Network: sandbox.NetworkNone}
			if _, err = build(run("reach", good, other)); err != nil || out.String() != "false\nfalse\n" {
				t.Errorf("without a network: %q, %v", out.String(), err)
			}
		})
	}
}

// What the machine has to go through itself, steps do, too.
func TestTheProxyGoesThroughTheMachinesOwn(t *testing.T) {
	base := runBase(t, usual()...)
	var asked []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		if r.Method != http.MethodConnect {
			fmt.Fprint(w, "by upstream")
			return
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			fmt.Fprint(c, "HTTP/1.0 200 OK\r\n\r\nfar away")
		}
	}))
	defer upstream.Close()
	b, out := running(t, way{sandbox.ModeOverlay, ""}, nil)
	b.Client.Proxy = func(*http.Request) (*url.URL, error) {
		u, err := url.Parse(upstream.URL)
		u.User = url.UserPassword("me", "word")
		return u, err
	}
	b.Egress = oci.Egress{Network: sandbox.NetworkProxy, Allow: []string{"*.example.com"}}
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{run("reach", "http://a.example.com/x", "connect://b.example.com:443", "http://example.com/")}}}})
	if err != nil || out.String() != "200 by upstream\nfar away\n403 kanso: example.com:80 is not an allowed host\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if got := strings.Join(asked, "; "); got != "GET a.example.com Basic bWU6d29yZA==; CONNECT b.example.com:443 Basic bWU6d29yZA==" {
		t.Errorf("the upstream proxy was asked %q", got)
	}
}
