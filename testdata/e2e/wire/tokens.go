package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// tokenServer gives tokens as Docker's registry reads them (its "Token
// Authentication Implementation"): to one user, for what was asked for or, of
// repositories below "readonly/", for reading only.
type tokenServer struct {
	user, issuer string
	life         time.Duration
	key          *ecdsa.PrivateKey
	chain        string // the certificate that the registry knows
	given, not   atomic.Int64
}

func tokens(args []string) (func(net.Listener) error, func() string) {
	s := &tokenServer{}
	var cert, key string
	flags("tokens", args, func(f *flag.FlagSet) {
		f.StringVar(&s.user, "user", "", "NAME:PASSWORD")
		f.StringVar(&s.issuer, "issuer", "", "who gives the tokens")
		f.DurationVar(&s.life, "life", time.Minute, "how long they are good")
		f.StringVar(&cert, "cert", "", "certificate that the registry trusts")
		f.StringVar(&key, "key", "", "its key")
	})
	private, err := x509.ParsePKCS8PrivateKey(block(key))
	if err != nil {
		fatal(err)
	}
	s.key, s.chain = private.(*ecdsa.PrivateKey), base64.StdEncoding.EncodeToString(block(cert))
	return func(l net.Listener) error { return http.Serve(l, s) }, func() string {
		return fmt.Sprintf("given %d refused %d", s.given.Load(), s.not.Load())
	}
}

func block(file string) []byte {
	data, err := os.ReadFile(file)
	if err != nil {
		fatal(err)
	}
	b, _ := pem.Decode(data)
	return b.Bytes
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if r.Method == http.MethodPost {
		user, password = r.FormValue("username"), r.FormValue("password")
	}
	if user+":"+password != s.user {
		s.not.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintln(w, `{"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}`)
		return
	}
	if err := r.ParseForm(); err != nil {
		fatal(err)
	}
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	var all []access
	for _, scopes := range r.Form["scope"] {
		for scope := range strings.FieldsSeq(scopes) {
			parts := strings.Split(scope, ":")
			if len(parts) != 3 {
				continue
			}
			actions := strings.Split(parts[2], ",")
			if strings.HasPrefix(parts[1], "readonly/") {
				actions = slices.DeleteFunc(actions, func(a string) bool { return a != "pull" })
			}
			all = append(all, access{parts[0], parts[1], actions})
		}
	}
	now := time.Now()
	token := s.sign(map[string]any{
		"iss": s.issuer, "sub": user, "aud": r.FormValue("service"), "exp": now.Add(s.life).Unix(), "nbf": now.Add(-time.Second).Unix(), "iat": now.Unix(),
		"jti": rand.Text(), "access": all,
	})
	s.given.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300, "issued_at": now.UTC().Format(time.RFC3339)}) // who is gone needs none
}

// sign makes a JSON Web Token by ES256.
func (s *tokenServer) sign(claims map[string]any) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := part(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{s.chain}}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		fatal(err)
	}
	sig := make([]byte, 64)
	a.FillBytes(sig[:32])
	b.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}
