package main

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

func TestSecretsAreMaskedInEveryFormAndHoweverTheyAreCut(t *testing.T) {
	const secret = `p@ss"w/rd+1&x`
	text := map[string]string{
		"as it is":                  "the password is " + secret + " here",
		"in a query":                "GET /?q=" + url.QueryEscape(secret),
		"in a URL's user":           "https://" + url.UserPassword("me", secret).String() + "@host/",
		"as JSON":                   `{"p":"p@ss\"w/rd+1&x"}`,
		"in basic authentication":   "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+secret)),
		"in another user's":         "Basic " + base64.StdEncoding.EncodeToString([]byte("you:"+secret)),
		"in a third user's":         "Basic " + base64.StdEncoding.EncodeToString([]byte("them:"+secret)),
		"twice in a row":            secret + secret,
		"at the end":                "end " + secret,
		"after its own beginning":   "p@s" + secret,
		"with a longer one's start": secret + "-and-mo",
	}
	for name, s := range text {
		t.Run(name, func(t *testing.T) {
			for size := 1; size < 20; size++ {
				var r redactor
				r.add(secret, secret+"-and-more")
				var out bytes.Buffer
				w := r.writer(&out)
				for rest := s; rest != ""; {
					n := min(size, len(rest))
					if _, err := w.Write([]byte(rest[:n])); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := w.flush(); err != nil {
					t.Fatal(err)
				}
				if got := out.String(); strings.Contains(got, "w/rd") || !strings.Contains(got, mask) || got != r.text(s) {
					t.Fatalf("in pieces of %d: %q, at once: %q", size, got, r.text(s))
				}
			}
		})
	}
}

func TestTextWithoutSecretsStaysAsItIs(t *testing.T) {
	var r redactor
	r.add("", "a", "abc", "   ", "hunter22")
	const text = "abc hunter2 hunter 22 a \x00\xff"
	if got := r.text(text); got != text {
		t.Errorf("got %q", got)
	}
}

func TestSecretsOfTheEnvironmentAreFound(t *testing.T) {
	got := envSecrets(environ{
		"PIP_EXTRA_INDEX_URL": "https://user:s%40cret@one/ https://tokentoken@two/",
		"CI_JOB_TOKEN":        "glcbt-1234567",
		"TOKEN_FILE":          "/run/secrets/token",
		"GIT_URL":             "ssh://git@host/",
		"PATH":                "/usr/bin",
	})
	for _, want := range []string{"s%40cret", "s@cret", "tokentoken", "glcbt-1234567"} {
		if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") {
			t.Errorf("%s is not among %q", want, got)
		}
	}
	if len(got) != 5 { // tokentoken is there as it is and unescaped
		t.Errorf("got %q", got)
	}
}

func TestPasswordsOfURLsAreMaskedWithoutBeingKnown(t *testing.T) {
	for text, want := range map[string]string{
		"Looking in https://ci:s3cr3t-word@pypi.example.com/simple": "Looking in https://ci:***@pypi.example.com/simple",
		"git+https://abcdefghijklmnopqrstuvwxyz@host/x.git":         "git+https://***@host/x.git",
		"a https://u:p1@h/ b https://u:p2@h/":                       "a https://u:***@h/ b https://u:***@h/",
		"postgresql://:word@h":                                      "postgresql://:***@h",
		"https://u:${TOKEN}@h/ https://u:***@h/":                    "https://u:${TOKEN}@h/ https://u:***@h/",
		"ssh://git@host/x http://h:80/@x http://h/?a:b@c http://h:": "ssh://git@host/x http://h:80/@x http://h/?a:b@c http://h:",
		"a: b:/ c:// d:": "a: b:/ c:// d:",
	} {
		for size := 1; size <= len(text); size++ {
			var r redactor
			var out bytes.Buffer
			w := r.writer(&out)
			for rest := text; rest != ""; {
				n := min(size, len(rest))
				if _, err := w.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != want || r.text(text) != want {
				t.Fatalf("in pieces of %d: %q, at once: %q, want %q", size, got, r.text(text), want)
			}
		}
	}
}
