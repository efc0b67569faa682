package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/resolve/plan"
)

// urlKind is the kind of value under which the store keeps what is known of
// URLs, by their sha256: a URL may have a password in it.
const urlKind = "url"

// download is a file that was got by HTTP. Its content is a blob of the store.
type download struct {
	Sum      string `json:"sum"` // sha256 in hexadecimal
	Size     int64  `json:"size"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified, as it was sent
}

// urlSource shows the file of a URL: root's, 0600, and as old as the server
// says.
func (b *Builder) urlSource(ctx context.Context, st *state, from plan.Source) (*source, error) {
	u, err := url.Parse(from.URL)
	if err != nil {
		return nil, err
	}
	got, file, err := b.downloaded(ctx, st, u, from.Checksum)
	if err != nil {
		if errors.Is(err, errUnknown) {
			return nil, err
		}
		return nil, fmt.Errorf("get %s: %w", u.Redacted(), err)
	}
	name := urlName(u)
	e := layers.Entry{Path: name, Mode: 0o600, Size: got.Size, Sum: got.Sum}
	if t, err := http.ParseTime(got.Modified); err == nil {
		e.Time = t.Unix()
	}
	view := layers.NewView([]layers.Listing{{Entries: []layers.Entry{e}}})
	find := func(e layers.Entry) (entry, error) {
		out := entry{File: fileOf(e), content: e.Sum, sum: e.Sum}
		out.Open = func() (io.ReadCloser, error) { return os.Open(file) }
		return out, nil
	}
	return &source{view: view, file: find, single: []string{name}, close: func() {}}, nil
}

// urlName is the name of the file of a URL, as BuildKit has it.
func urlName(u *url.URL) string {
	name := path.Base(u.Path)
	switch {
	case name == "." || name == "/" || name == "..":
		return "__unnamed__"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "download"
	}
	return name
}

// downloaded returns a file that is in the store, or comes there. One that must
// have a checksum is not asked for again; another one is, but is sent only if it
// changed.
func (b *Builder) downloaded(ctx context.Context, st *state, u *url.URL, checksum string) (download, string, error) {
	want, err := v1.NewHash(checksum)
	if checksum != "" && err != nil {
		return download{}, "", fmt.Errorf("checksum %q: %w", checksum, err)
	}
	known := b.knownURL(u)
	have, there := b.Store.Blob(v1.Hash{Algorithm: "sha256", Hex: known.Sum})
	if there && checksum == "sha256:"+known.Sum {
		return known, have, nil
	}
	if st.dry {
		return download{}, "", errUnknown // what the server has now is not known
	}
	ask := known
	if !there || checksum != "" || b.NoCache {
		ask = download{}
	}
	var got download
	err = b.Client.retried(ctx, u.Redacted(), func() error {
		var err error
		got, err = b.get(ctx, st, u, ask, want)
		return err
	})
	if err != nil {
		return download{}, "", err
	}
	data, err := json.Marshal(got)
	if err != nil {
		return download{}, "", err
	}
	if err := b.Store.PutValue(urlKind, sumOf(u.String()), data); err != nil {
		return download{}, "", err
	}
	file, ok := b.Store.Blob(v1.Hash{Algorithm: "sha256", Hex: got.Sum})
	if !ok {
		return download{}, "", errors.New("it is gone from the cache")
	}
	return got, file, nil
}

// knownURL is what the store knows of a URL; the zero value if that is nothing.
func (b *Builder) knownURL(u *url.URL) download {
	var d download
	data, ok, err := b.Store.Value(urlKind, sumOf(u.String()))
	if err != nil || !ok || json.Unmarshal(data, &d) != nil {
		return download{}
	}
	return d
}

// get asks for a file. If known is one it is sent only if it is another now.
func (b *Builder) get(ctx context.Context, st *state, u *url.URL, known download, want v1.Hash) (download, error) {
	resp, err := b.Client.getURL(ctx, u, known)
	if err != nil {
		return download{}, err
	}
	defer resp.Body.Close()
	if known.Sum != "" && resp.StatusCode == http.StatusNotModified {
		return known, nil
	}
	if err := b.Client.expect(resp, http.StatusOK); err != nil {
		return download{}, err
	}
	if limit := b.limits().Bytes; resp.ContentLength > limit {
		return download{}, fmt.Errorf("it has %d bytes, more than %d", resp.ContentLength, limit)
	}
	got := download{ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified")}
	add, done := heard(b.Progress).Bytes(st.prefix()+"get "+urlName(u), resp.ContentLength)
	err = b.keepBody(ctx, counted(resp.Body, add), want, &got)
	done(err)
	return got, err
}

// keepBody keeps what a server sends, if it has the right checksum.
func (b *Builder) keepBody(ctx context.Context, body io.Reader, want v1.Hash, got *download) error {
	return b.Store.PutBlob(ctx, func(w io.Writer) (v1.Hash, error) {
		sum, limit := sha256.New(), b.limits().Bytes
		n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(body, limit+1))
		if err != nil {
			return v1.Hash{}, err
		}
		if n > limit {
			return v1.Hash{}, fmt.Errorf("it has more than %d bytes", limit)
		}
		h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
		if want != (v1.Hash{}) && want != h {
			return v1.Hash{}, fmt.Errorf("digest mismatch: %s (expected: %s)", h, want)
		}
		got.Sum, got.Size = h.Hex, n
		return h, nil
	})
}

// getURL begins to get a file of anybody's: without credentials of registries,
// and in plain HTTP if the URL says so.
func (c *Client) getURL(ctx context.Context, u *url.URL, known download) (*http.Response, error) {
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is neither http nor https", u.Scheme)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	if known.ETag != "" {
		req.Header.Set("If-None-Match", known.ETag)
	}
	if known.Modified != "" {
		req.Header.Set("If-Modified-Since", known.Modified)
	}
	client := http.Client{Transport: c.unguarded(), CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= 10:
			return errors.New("more than 10 redirects")
		case r.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https" && !plainAllowed(r.URL.Host, c.Insecure):
			return &PlainError{Host: r.URL.Host}
		}
		return nil
	}}
	resp, err := client.Do(req)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // its URL may have a password in it
	}
	return resp, err
}
