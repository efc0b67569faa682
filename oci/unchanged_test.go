package oci_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// interrupting does something when the first bytes of a blob are written.
type interrupting struct {
	oci.Store
	once sync.Once
	do   func()
}

func (s *interrupting) PutBlob(ctx context.Context, write func(w io.Writer) (v1.Hash, error)) error {
	return s.Store.PutBlob(ctx, func(w io.Writer) (v1.Hash, error) {
		return write(writerFunc(func(p []byte) (int, error) {
			s.once.Do(s.do)
			return w.Write(p)
		}))
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// scratchWith is an image of some files.
func scratchWith(t *testing.T, b *oci.Builder, files ...string) plan.Plan {
	t.Helper()
	return plan.Plan{Stages: []plan.Stage{{Base: oci.Scratch, Steps: []plan.Step{copies(t, b, "/x/", files...)}}}}
}

// TestAFileThatChangesInTheMiddle has a file whose end changes while its
// beginning is in the layer already: the build fails, nothing is kept, and the
// next one has what is there now.
func TestAFileThatChangesInTheMiddle(t *testing.T) {
	const size = 8 << 20
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(data)
	for name, alike := range map[string]bool{"it looks different": false, "it looks the same": true} {
		t.Run(name, func(t *testing.T) {
			b := builder(t, map[string]string{"f": string(data)})
			store, file := b.Store, filepath.Join(b.Context, "f")
			before, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			b.Store = &interrupting{Store: store, do: func() {
				f, err := os.OpenFile(file, os.O_WRONLY, 0)
				if err == nil {
					_, err = f.WriteAt([]byte("changed"), size-100)
					err = errors.Join(err, f.Close())
				}
				if alike {
					err = errors.Join(err, os.Chtimes(file, before.ModTime(), before.ModTime()))
				}
				if err != nil {
					t.Error(err)
				}
			}}
			if _, err := b.Build(t.Context(), scratchWith(t, b, "f")); !errors.Is(err, oci.ErrChanged) {
				t.Fatalf("got %v", err)
			}
			b.Store = store
			got, err := b.Build(t.Context(), scratchWith(t, b, "f"))
			if err != nil {
				t.Fatal(err)
			}
			fresh := builder(t, nil)
			fresh.Context = b.Context
			want, err := fresh.Build(t.Context(), scratchWith(t, fresh, "f"))
			if err != nil || digest(t, got) != digest(t, want) {
				t.Errorf("the next build is another one: %v", err)
			}
		})
	}
}
