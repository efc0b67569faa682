package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Registry returns a small registry that keeps everything in a directory, for
// trying things and for tests (OCI distribution specification 1.1). It knows no
// users and deletes nothing, so it is for loopback. Every request is logged as
// a line "METHOD PATH STATUS".
func Registry(dir string, log io.Writer) (http.Handler, error) {
	for _, d := range []string{"blobs/sha256", "uploads", "repositories"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(d)), 0o755); err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
	return &registry{dir: dir, log: log}, nil
}

// Serve serves a [Registry] until the context ends; then requests that are
// under way have five seconds.
func Serve(ctx context.Context, l net.Listener, dir string, log io.Writer) error {
	h, err := Registry(dir, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(end) // those that are still under way are cut off
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

type registry struct {
	dir string
	log io.Writer
	mu  sync.Mutex // of log, and of uploads that are appended to
}

// The shapes of names (OCI distribution specification, "Pulling manifests").
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestName     = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
	uploadName     = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)
)

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &statusWriter{w, http.StatusOK}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	g.route(s, r)
	if g.log == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintf(g.log, "%s %s %d\n", r.Method, r.URL.Path, s.status)
}

// route calls what a path stands for.
func (g *registry) route(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	switch {
	case r.URL.Path == "/v2" || ok && path == "":
		w.WriteHeader(http.StatusOK)
		return
	case !ok:
		fail(w, http.StatusNotFound, "UNSUPPORTED", "no such page")
		return
	case path == "_catalog":
		g.catalog(w)
		return
	}
	for _, kind := range []string{"/blobs/uploads", "/blobs/", "/manifests/", "/referrers/", "/tags/list"} {
		i := strings.LastIndex(path, kind)
		if i < 0 {
			continue
		}
		repo, rest := path[:i], strings.Trim(path[i+len(kind):], "/")
		if !repositoryName.MatchString(repo) {
			fail(w, http.StatusBadRequest, "NAME_INVALID", "invalid repository name")
			return
		}
		switch kind {
		case "/blobs/uploads":
			g.upload(w, r, repo, rest)
		case "/blobs/":
			g.blob(w, r, rest)
		case "/manifests/":
			g.manifest(w, r, repo, rest)
		case "/referrers/":
			g.referrers(w, r, repo, rest)
		default:
			g.tags(w, repo)
		}
		return
	}
	fail(w, http.StatusNotFound, "UNSUPPORTED", "no such page")
}

// fail answers with an error in the specification's form.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}}) // strings always encode
	_, _ = w.Write(body)                                                                                       // the client is gone if this fails
}

func (g *registry) repository(repo string) string {
	return filepath.Join(g.dir, "repositories", filepath.FromSlash(repo))
}

func (g *registry) catalog(w http.ResponseWriter) {
	repos := []string{}
	root := filepath.Join(g.dir, "repositories")
	_ = filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "_tags" {
			if rel, err := filepath.Rel(root, filepath.Dir(p)); err == nil {
				repos = append(repos, filepath.ToSlash(rel))
			}
			return filepath.SkipDir
		}
		return nil
	})
	answer(w, map[string]any{"repositories": repos})
}

func (g *registry) tags(w http.ResponseWriter, repo string) {
	entries, err := os.ReadDir(filepath.Join(g.repository(repo), "_tags"))
	if err != nil {
		fail(w, http.StatusNotFound, "NAME_UNKNOWN", "no such repository")
		return
	}
	tags := []string{}
	for _, e := range entries {
		tags = append(tags, e.Name())
	}
	slices.Sort(tags)
	answer(w, map[string]any{"name": repo, "tags": tags})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(v) // maps of strings always encode
	_, _ = w.Write(body)       // the client is gone if this fails
}
