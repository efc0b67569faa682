package resolve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Secret is a place in the sources where one stands. What it is is never
// said.
type Secret struct {
	Path string // relative to the source root
	Line int    // 0 if the whole file is one
	What string
}

// A SecretError says that files with secrets would go in.
type SecretError struct{ Found []Secret }

func (e *SecretError) Error() string {
	var all []string
	for _, s := range e.Found {
		place := s.Path
		if s.Line > 0 {
			place = fmt.Sprintf("%s:%d", s.Path, s.Line)
		}
		all = append(all, place+": "+s.What)
	}
	return "secrets would go into the image: " + strings.Join(all, "; ")
}

// Hint says what to do about it.
func (e *SecretError) Hint() string {
	return "add them to .dockerignore, or allow one with --allow-secret " + e.Found[0].Path
}

// secretLimit is how much of a file is read to look for secrets, in bytes.
const secretLimit = 64 << 10

var (
	gitConfig = regexp.MustCompile(`(^|/)\.git/(modules/.+/)?config$`)
	// userInURL is a URL with a password, or with a token in the user's place.
	userInURL  = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://([^/\s@:]*:[^/\s@]+|[^/\s@:]{20,})@`)
	authHeader = regexp.MustCompile(`(?i)extraheader\s*=\s*"?authorization`)
	keyNames   = regexp.MustCompile(`(?i)(^id_(rsa|dsa|ecdsa|ed25519)|\.(pem|key|p8|ppk)|_rsa|private.*key)$`)
	keyBegins  = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----|^PuTTY-User-Key-File`)
)

// lookForSecrets notes what is a secret in a file that goes in.
func (w *walker) lookForSecrets(p string, info fs.FileInfo) error {
	isGit, isKey := gitConfig.MatchString(p), keyNames.MatchString(path.Base(p))
	if !isGit && !isKey || slices.ContainsFunc(w.o.Allow, func(a string) bool { return path.Clean(filepath.ToSlash(a)) == p }) {
		return nil
	}
	f, err := os.Open(filepath.Join(w.o.Root, filepath.FromSlash(p)))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, min(secretLimit, info.Size())))
	if err != nil {
		return err
	}
	if isKey && keyBegins.Match(data) {
		w.secrets = append(w.secrets, Secret{Path: p, What: "it is a private key"})
	}
	if !isGit {
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, secretLimit+1)
	for n := 1; lines.Scan(); n++ {
		if userInURL.Match(lines.Bytes()) || authHeader.Match(lines.Bytes()) {
			w.secrets = append(w.secrets, Secret{Path: p, Line: n, What: "it has credentials"})
		}
	}
	return nil
}
