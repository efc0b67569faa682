package oci_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// toldStore counts blobs and tells of the first one.
type toldStore struct {
	oci.Store
	blobs atomic.Int32
	first chan struct{}
}

func (s *toldStore) PutBlob(ctx context.Context, write func(w io.Writer) (v1.Hash, error)) error {
	err := s.Store.PutBlob(ctx, write)
	if s.blobs.Add(1) == 1 {
		close(s.first)
	}
	return err
}

// patientRunner runs nothing before the first blob is there.
type patientRunner struct {
	oci.Runner
	first <-chan struct{}
}

func (r patientRunner) Run(ctx context.Context, c sandbox.Command) error {
	select {
	case <-r.first:
		return r.Runner.Run(ctx, c)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return errors.New("nothing was made before the installer ended")
	}
}

// The files of a later step are packed, once, while an installer runs, and the
// image is the one without that.
func TestFilesArePackedBesideAnInstall(t *testing.T) {
	base := oldBase(t)
	b, _ := running(t, way{sandbox.ModeOverlay, ""}, map[string]string{"run.py": "print(1)\n", "src/step.py": "x = 1\n"})
	copied := plan.Copy{Files: []string{"run.py", "src/step.py"}, Dest: "/app", Modes: plan.ModesGit}
	plainly := build(t, b, base, copied, installing("new-1"))
	alone := plainly.Steps[0].DiffID

	store := &toldStore{first: make(chan struct{})}
	b, _ = running(t, way{sandbox.ModeOverlay, ""}, map[string]string{"run.py": "print(1)\n", "src/step.py": "x = 1\n"})
	store.Store, b.Store = b.Store, store
	open := b.Runner
	b.Runner = func(ctx context.Context, ids sandbox.IDs) (oci.Runner, error) {
		r, err := open(ctx, ids)
		return patientRunner{r, store.first}, err
	}
	img := build(t, b, base, installing("new-1"), copied)
	last := img.Steps[1]
	if last.Cached || last.DiffID != alone {
		t.Errorf("the copied files are %+v, want a layer %s that was made", last, alone)
	}
	if want := len(img.Steps[0].Made()) + 1; int(store.blobs.Load()) != want {
		t.Errorf("%d layers were made, want %d", store.blobs.Load(), want)
	}
}

// failingRunner fails once the first layer is there.
type failingRunner struct {
	oci.Runner
	listed <-chan struct{}
}

var errInstaller = errors.New("no such distribution")

func (r failingRunner) Run(ctx context.Context, _ sandbox.Command) error {
	select {
	case <-r.listed:
		return errInstaller
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return errors.New("nothing was made before the installer failed")
	}
}

// listingStore tells of the first list of a layer that is kept, the last of what is
// kept of one beside its key.
type listingStore struct {
	oci.Store
	once   sync.Once
	listed chan struct{}
}

func (s *listingStore) PutValue(kind, key string, data []byte) error {
	err := s.Store.PutValue(kind, key, data)
	if strings.HasPrefix(kind, "listing") && strings.Contains(string(data), "run.py") {
		s.once.Do(func() { close(s.listed) })
	}
	return err
}

// Files that were packed beside an install that failed are there for the next build.
func TestFilesPackedBesideAFailingInstallAreKept(t *testing.T) {
	base := oldBase(t)
	b, _ := running(t, way{sandbox.ModeOverlay, ""}, map[string]string{"run.py": "print(1)\n"})
	copied := plan.Copy{Files: []string{"run.py"}, Dest: "/app", Modes: plan.ModesGit}
	store := &listingStore{Store: b.Store, listed: make(chan struct{})}
	b.Store = store
	open := b.Runner
	b.Runner = func(ctx context.Context, ids sandbox.IDs) (oci.Runner, error) {
		r, err := open(ctx, ids)
		return failingRunner{r, store.listed}, err
	}
	p := plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{installing("new-1"), copied}}}}
	if _, err := b.Build(t.Context(), p); !errors.Is(err, errInstaller) {
		t.Fatalf("Build = %v, want %v", err, errInstaller)
	}
	b.Runner = open
	img := build(t, b, base, installing("new-1"), copied)
	if last := img.Steps[1]; !last.Cached {
		t.Errorf("the copied files are %+v, want the layer of before", last)
	}
}

// Files that are packed beside an install are sent beside it, too.
func TestFilesPackedBesideAnInstallAreSent(t *testing.T) {
	sent := make(chan struct{})
	once := sync.OnceFunc(func() { close(sent) })
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") {
				once()
			}
		})
	})
	c := client(t)
	base := oldBase(t)
	b, _ := running(t, way{sandbox.ModeOverlay, ""}, map[string]string{"run.py": "print(1)\n"})
	b.Ahead = c.Ahead([]name.Tag{tag(t, c, s.host+"/team/app:v1")})
	defer b.Ahead.Close()
	open := b.Runner
	b.Runner = func(ctx context.Context, ids sandbox.IDs) (oci.Runner, error) {
		r, err := open(ctx, ids)
		return patientRunner{r, sent}, err
	}
	build(t, b, base, installing("new-1"), plan.Copy{Files: []string{"run.py"}, Dest: "/app", Modes: plan.ModesGit})
}
