package oci_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/oci"
)

// TestARegistryLeadsNoCloserThanItIs has registries that send us, by names that
// look harmless, to addresses that are none of theirs.
func TestARegistryLeadsNoCloserThanItIs(t *testing.T) {
	for name, c := range map[string]struct {
		address string // of what the registry leads to
		kind    string
	}{
		"to the metadata service":           {"169.254.169.254", "link-local"},
		"to the metadata service by IPv6":   {"fd00:ec2::254", "link-local"},
		"to the metadata service, mapped":   {"::ffff:169.254.169.254", "link-local"},
		"to the metadata service by NAT64":  {"64:ff9b::a9fe:a9fe", "link-local"},
		"to the metadata service by 6to4":   {"2002:a9fe:a9fe::1", "link-local"},
		"to a neighbour by IPv6":            {"fe80::1", "link-local"},
		"to this machine":                   {"127.0.0.1", "loopback"},
		"to another address of the machine": {"127.8.8.8", "loopback"},
		"to this machine by IPv6":           {"::1", "loopback"},
		"to this machine, mapped":           {"::ffff:127.0.0.1", "loopback"},
		"to no address":                     {"0.0.0.0", "link-local"},
		"to no address of IPv6":             {"::", "link-local"},
		"to a private address":              {"10.1.2.3", "private"},
		"to a private address of 172":       {"172.16.0.1", "private"},
		"to a private address of 192":       {"192.168.0.1", "private"},
		"to a shared address":               {"100.64.0.1", "private"},
		"to a local address of IPv6":        {"fc00::1", "private"},
		"to a private address, mapped":      {"::ffff:10.0.0.1", "private"},
		"to many":                           {"224.0.0.1", "link-local"},
	} {
		for what, lead := range map[string]func(place string) http.Handler{"tokens": tokensAt, "layers": layersAt, "uploads": uploadsAt} {
			t.Run(name+" for "+what, func(t *testing.T) {
				t.Parallel()
				cl, _ := impatient(t)
				behindProxy(t, cl, "registry.corp.invalid", lead("https://other.corp.invalid/place"))
				cl.Resolver = names(t, map[string]string{"other.corp.invalid": c.address})
				err := wholeWay(t, cl, "registry.corp.invalid/a:1")
				var led *oci.AddressError
				if !errors.As(err, &led) || led.Kind != c.kind || led.Registry != "registry.corp.invalid" || led.Host != "other.corp.invalid" {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestWhereARegistryMayLead has registries that lead where they may.
func TestWhereARegistryMayLead(t *testing.T) {
	const auth = "auth.example.com" // httptest's certificate is for it
	for name, c := range map[string]struct {
		behind  bool // a proxy, so that the registry is one of the internet
		allowed []string
		address string
		kind    string // of the error, if it is one
	}{
		"from this machine to itself":            {false, nil, "127.0.0.1", ""},
		"from this machine to its metadata":      {false, nil, "169.254.169.254", "link-local"},
		"from the internet to what is named":     {true, []string{auth}, "127.0.0.1", ""},
		"from the internet to what is not named": {true, []string{"b.example.com"}, "127.0.0.1", "loopback"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := ours(t)
			k := &tokens{next: store, good: 1000}
			service, roots := secured(t, k, nil)
			k.realm = strings.Replace(service.URL, "127.0.0.1", auth, 1) + "/token"
			cl, _ := impatient(t)
			host := "registry.example.com"
			if c.behind {
				behindProxy(t, cl, host, k)
			} else {
				srv, _ := secured(t, k, nil)
				host += strings.TrimPrefix(srv.URL, "https://127.0.0.1")
			}
			cl.RootCAs, cl.Realms, cl.Keychain = roots, c.allowed, keychain(t, host)
			cl.Resolver = names(t, map[string]string{auth: c.address, "registry.example.com": "127.0.0.1"})
			err := cl.CheckPush(t.Context(), tag(t, cl, host+"/a:1"))
			var led *oci.AddressError
			if c.kind == "" && err != nil || c.kind != "" && (!errors.As(err, &led) || led.Kind != c.kind) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestTokensOfAnotherPort has a registry whose tokens come from another port of the
// same address, which is no name.
func TestTokensOfAnotherPort(t *testing.T) {
	store := ours(t)
	service := &tokens{next: store, good: 1000}
	other := unrulyBefore(t, service)
	service.realm = "http://" + other.host + "/token"
	u := unrulyBefore(t, service)
	c, _ := impatient(t)
	c.Keychain = keychain(t, u.host)
	if err := wholeWay(t, c, u.host+"/a:1"); err != nil {
		t.Fatal(err)
	}
	if other.asked("GET", "/token") == 0 || u.asked("GET", "/token") > 0 {
		t.Errorf("the service was asked %q, the registry %q", other.log, u.log)
	}
	other.rules(rule{"", "/token", 0, refusal(401, "UNAUTHORIZED", "who are you")})
	d, _ := impatient(t)
	d.Keychain = c.Keychain
	if err := d.CheckPush(t.Context(), tag(t, d, u.host+"/a:1")); err == nil || !strings.Contains(err.Error(), "who are you") {
		t.Errorf("got %v", err)
	}
}

// behindProxy makes a registry that only a proxy knows; what else there is is
// connected with.
func behindProxy(t *testing.T, c *oci.Client, host string, h http.Handler) {
	t.Helper()
	proxy := unrulyBefore(t, h)
	c.Insecure = []string{host}
	c.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Host != host {
			return nil, nil //nolint:nilnil // no proxy, as in http.Transport
		}
		return &url.URL{Scheme: "http", Host: proxy.host}, nil
	}
}

// wholeWay asks whether a registry may be pushed to, pushes and pulls.
func wholeWay(t *testing.T, c *oci.Client, ref string) error {
	t.Helper()
	to := tag(t, c, ref)
	if err := c.CheckPush(t.Context(), to); err != nil {
		return err
	}
	if _, err := c.Push(t.Context(), large(t, 100), []refTag{to}); err != nil {
		return err
	}
	_, err := pull(t.Context(), c, ref)
	return err
}

func tokensAt(place string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+place+`",service="s"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// layersAt is a registry of one image, whose blobs are elsewhere.
func layersAt(place string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusOK) // it has everything
		case strings.Contains(r.URL.Path, blobPath) && r.Method == http.MethodGet:
			http.Redirect(w, r, place, http.StatusTemporaryRedirect)
		case strings.Contains(r.URL.Path, manifestPath) && r.Method == http.MethodGet:
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = w.Write([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`))
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "/v2/a/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
		}
	})
}

// uploadsAt begins uploads elsewhere.
func uploadsAt(place string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			w.Header().Set("Location", place)
			w.WriteHeader(http.StatusAccepted)
		case http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}
