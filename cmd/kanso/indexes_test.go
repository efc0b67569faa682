package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/oci"
)

func TestPipsFilesBecomeOneWithTheStrongestLast(t *testing.T) {
	home := t.TempDir()
	put(t, filepath.Join(home, ".pip/pip.conf"), "[global]\nindex_url = https://old/\ntarget = /elsewhere\n; a comment\n[install]\nuser: yes\n")
	put(t, filepath.Join(home, ".config/pip/pip.conf"), "[global]\nindex-url = https://new/\nextra-index-url =\n  https://a/\n  https://b/\n")
	env := environ{"HOME": home}
	const want = "extra-index-url = https://a/\n    https://b/\nindex-url = https://new/\n"
	if got := pipConf(env); !strings.HasSuffix(got, want) || strings.Contains(got, "elsewhere") || strings.Contains(got, "user") {
		t.Errorf("got:\n%s", got)
	}
	env["PIP_CONFIG_FILE"] = os.DevNull
	if got := pipConf(env); got != "" {
		t.Errorf("with files switched off: %q", got)
	}
}

func TestStepsAreLentWhereTheyFindPackagesAndNothingElse(t *testing.T) {
	home := t.TempDir()
	wheels := filepath.Join(home, "wheels")
	put(t, filepath.Join(wheels, "x"), "")
	put(t, filepath.Join(home, ".netrc"), "machine one login me password netrc-pass\n")
	put(t, filepath.Join(home, "ca.pem"), "")
	a := newApp(environ{
		"HOME": home, "PIP_INDEX_URL": "https://u:secret99@one/", "PIP_TARGET": "/t", "UV_INDEX_MINE_PASSWORD": "passpass1",
		"UV_PYTHON": "3.9", "UV_FIND_LINKS": "file://" + wheels, "https_proxy": "http://p:1", "AWS_SECRET_ACCESS_KEY": "aaaaaaaaaa",
		"SSL_CERT_FILE": filepath.Join(home, "ca.pem"),
	}, nil, nil, nil)
	l := lender{a: a, dir: t.TempDir(), caches: func(m string) (string, error) { return filepath.Join(home, m), nil }}
	got, err := l.access(t.Context(), anybody)
	if err != nil {
		t.Fatal(err)
	}
	check := func(manager string, entries ...string) {
		t.Helper()
		for _, e := range entries {
			if !slices.Contains(got[manager].Env, e) {
				t.Errorf("%s has no %s: %q", manager, e, got[manager].Env)
			}
		}
	}
	check("pip", "PIP_INDEX_URL=https://u:secret99@one/", "https_proxy=http://p:1", "SSL_CERT_FILE=/run/kanso/ca.pem",
		"PIP_CERT=/run/kanso/ca.pem", "NETRC=/run/kanso/netrc", "PIP_CACHE_DIR=/run/kanso/cache/pip")
	check("uv", "UV_INDEX_MINE_PASSWORD=passpass1", "UV_LINK_MODE=copy", "UV_CACHE_DIR=/run/kanso/cache/uv")
	check("apt", "APT_CONFIG=/run/kanso/apt.conf")
	for manager, x := range got {
		for _, e := range x.Env {
			if strings.Contains(e, "/t") && strings.HasPrefix(e, "PIP_TARGET") || strings.HasPrefix(e, "UV_PYTHON") || strings.HasPrefix(e, "AWS") {
				t.Errorf("%s is lent %s", manager, e)
			}
		}
	}
	if !hasMount(got["uv"], wheels, wheels) {
		t.Errorf("wheels are not lent: %v", got["uv"].Mounts)
	}
	if s := a.redact.text("netrc-pass secret99 passpass1"); s != "*** *** ***" {
		t.Errorf("known secrets: %q", s)
	}
}

func TestSystemDirectoriesAreNotLent(t *testing.T) {
	if got := localPaths("/usr /etc / file:///tmp https://host/usr relative/path /no/such/place"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestSecretFlagsAreChecked(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "f"), "from-the-file\n")
	a := newApp(environ{"V": "from-the-variable"}, nil, nil, nil)
	for flag, ok := range map[string]bool{
		"id=a,src=" + dir + "/f": true, "id=b,env=V": true, "id=a.b-c,type=file,source=" + dir + "/f": true,
		"id=a": false, "src=" + dir + "/f": false, "id=../x,env=V": false, "id=a,env=W": false, "id=a,src=" + dir + "/g": false,
		"id=a,src=" + dir + "/f,env=V": false, "id=a,what=x": false,
	} {
		list, err := a.secrets([]string{flag}, dir)
		if err == nil {
			_, err = secretMounts(list)
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if s := a.redact.text("from-the-file from-the-variable"); s != "*** ***" {
		t.Errorf("known secrets: %q", s)
	}
}

func hasMount(x oci.Access, source, target string) bool {
	for _, m := range x.Mounts {
		if m.Source == source && m.Target == target && m.ReadOnly {
			return true
		}
	}
	return false
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
