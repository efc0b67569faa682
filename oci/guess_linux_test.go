package oci_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// bringing is a step that installs what the next one installs with.
func bringing(command ...string) plan.Install {
	return plan.Install{Installer: "pip", Command: append([]string{"prog"}, command...)}
}

// byUV is an Install with what such a step brings.
func byUV(dists ...string) plan.Install {
	i := installing(dists...)
	i.Installer = "uv"
	return i
}

// An appointment is of two commands that a build runs, which it tells apart by
// their second words: the first one waits until the second one has begun.
type appointment struct {
	first, second string
	// stays says that the second one, the first time, stays until it is given up,
	// and that the next time it waits for that.
	stays bool

	mu    sync.Mutex
	began chan struct{}
	gone  chan struct{}
	ran   []string
}

func (m *appointment) of(b *oci.Builder) *appointment {
	m.began, m.gone = make(chan struct{}), make(chan struct{})
	open := b.Runner
	b.Runner = func(ctx context.Context, ids sandbox.IDs) (oci.Runner, error) {
		r, err := open(ctx, ids)
		return attendant{r, m}, err
	}
	return m
}

// attends notes that a command runs; again says that one like it did before.
func (m *appointment) attends(word string) (again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	again = slices.Contains(m.ran, word)
	m.ran = append(m.ran, word)
	if word == m.second && !again {
		close(m.began)
	}
	return again
}

// commands are those that ran, sorted.
func (m *appointment) commands() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(m.ran)), " ")
}

type attendant struct {
	oci.Runner
	*appointment
}

func (a attendant) Run(ctx context.Context, c sandbox.Command) error {
	word := c.Args[1]
	again := a.attends(word)
	switch {
	case word == a.first && !again:
		if err := within(ctx, a.began, a.second+" did not begin before "+a.first+" had ended"); err != nil {
			return err
		}
	case word == a.second && a.stays && !again:
		defer close(a.gone)
		return within(ctx, nil, a.second+" was not given up")
	case word == a.second && a.stays:
		if err := within(ctx, a.gone, a.second+" was not given up"); err != nil {
			return err
		}
	}
	return a.Runner.Run(ctx, c)
}

// within waits for something, a minute at most.
func within(ctx context.Context, what <-chan struct{}, late string) error {
	select {
	case <-what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return errors.New(late)
	}
}

func digestOf(t *testing.T, img *oci.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// What installs the next one's installer mostly leaves nothing: the next one runs
// beside it, and all is as if it had run after it.
func TestAnInstallRunsBesideOneThatLeavesNothing(t *testing.T) {
	base := oldBase(t)
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			plain, wanted := running(t, w, nil)
			want := build(t, plain, base, bringing("inspect", "/app"), installing("new-1", "old-2"), installed())

			b, out := running(t, w, nil)
			m := (&appointment{first: "inspect", second: "install"}).of(b)
			img := build(t, b, base, bringing("inspect", "/app"), byUV("new-1", "old-2"))
			if got := m.commands(); got != "inspect install" {
				t.Errorf("%s ran", got)
			}
			after := build(t, b, base, bringing("inspect", "/app"), byUV("new-1", "old-2"), installed())
			if got, want := digestOf(t, after), digestOf(t, want); got != want {
				t.Errorf("the image is %s, want %s", got, want)
			}
			if out.String() != wanted.String() {
				t.Errorf("printed:\n%s\nwant:\n%s", out, wanted)
			}
			if img.Ran != 2 || img.Steps[1].Cached {
				t.Errorf("%d steps ran, and the second one is %+v; want both", img.Ran, img.Steps[1])
			}
			if !after.Steps[0].Cached || !after.Steps[1].Cached {
				t.Errorf("the second build found %+v, want both steps", after.Steps)
			}
		})
	}
}

// Where it leaves something the next one runs again, on that, and nothing is told
// of the first time.
func TestAWrongGuessIsGivenUp(t *testing.T) {
	base := oldBase(t)
	bring := bringing("write", "/app/uv")
	plain, wanted := running(t, way{sandbox.ModeOverlay, ""}, nil)
	want := build(t, plain, base, bring, installing("new-1"), installed())

	b, out := running(t, way{sandbox.ModeOverlay, ""}, nil)
	m := (&appointment{first: "write", second: "install", stays: true}).of(b)
	img := build(t, b, base, bring, byUV("new-1"), installed())
	if got, want := digestOf(t, img), digestOf(t, want); got != want {
		t.Errorf("the image is %s, want %s", got, want)
	}
	if out.String() != wanted.String() {
		t.Errorf("printed:\n%s\nwant:\n%s", out, wanted)
	}
	if got := m.commands(); got != "inspect install install write" {
		t.Errorf("%s ran", got)
	}
}

// What is guessed and fails has failed once, and says so once.
func TestAGuessThatFailsIsTheStep(t *testing.T) {
	base := oldBase(t)
	fails := byUV()
	fails.Command = []string{"prog", "fail"}
	b, out := running(t, way{sandbox.ModeOverlay, ""}, nil)
	m := (&appointment{first: "inspect", second: "fail"}).of(b)
	p := plan.Plan{Stages: []plan.Stage{{Base: base, Steps: []plan.Step{bringing("inspect", "/app"), fails}}}}
	_, err := b.Build(t.Context(), p)
	if exit := (*sandbox.ExitError)(nil); !errors.As(err, &exit) || !strings.HasPrefix(err.Error(), "step 2, ") {
		t.Errorf("Build = %v, want that step 2 fails", err)
	}
	if n := strings.Count(out.String(), "what went wrong"); n != 1 || m.commands() != "fail inspect" {
		t.Errorf("%s ran, and printed:\n%s", m.commands(), out)
	}
}
