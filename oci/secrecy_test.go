package oci_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/layers/secrets"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// leaky are steps that copy a secret.
func leaky() []plan.Step {
	return []plan.Step{
		plan.Copy{Files: []string{"settings.py", "deep/key.py"}, Dest: "/app", Modes: plan.ModesGit},
	}
}

// token is one that does not stand in this file.
func token() string { return "glpat-" + strings.Repeat("aB3dE5fG7h", 2) }

func TestASecretInALayerEndsTheBuild(t *testing.T) {
	base := plainBase(t)
	for _, last := range []string{"", "GET"} { // a last step that adds no layer
		b := builder(t, map[string]string{"settings.py": "A = 1\n", "deep/key.py": "#\nT = '" + token() + "'\n"})
		b.Secrecy = oci.Secrecy{Stop: true}
		steps := leaky()
		if last != "" {
			steps = append(steps, plan.Set{Env: []plan.Var{{Name: "A", Value: last}}})
		}
		p := plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps}}}
		for _, when := range []string{"made", "found in the store"} {
			_, err := b.Build(t.Context(), p)
			var found *secrets.Error
			if !errors.As(err, &found) || len(found.Found) != 1 || found.Found[0] != (secrets.Finding{Path: "/app/deep/key.py", Line: 2, What: "a GitLab token"}) {
				t.Fatalf("%s: %v", when, err)
			}
			if strings.Contains(err.Error()+found.Hint(), token()) {
				t.Errorf("the secret is in %q", err)
			}
		}
		b.Secrecy.Stop = false
		if img, err := b.Build(t.Context(), p); err != nil || len(img.Found) != 1 || img.Found[0].Path != "/app/deep/key.py" {
			t.Errorf("without an end: %v, %+v", err, img)
		}
		b.Secrecy = oci.Secrecy{Stop: true, Allow: []string{"/app/deep"}}
		if img, err := b.Build(t.Context(), p); err != nil || len(img.Found) != 0 {
			t.Errorf("what is allowed: %v", err)
		}
	}
}

// What an installer writes is looked through as well, in every part that it is
// divided into.
func TestASecretThatAnInstallerWritesIsFound(t *testing.T) {
	base := plainBase(t)
	b := builder(t, nil)
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) {
		return &writes{files: []layers.File{
			{Path: "root", Mode: fs.ModeDir | 0o700}, file("root/.netrc", "machine m password correct-horse\n", 0o600), file("site/x.py", "x", 0o644),
		}}, nil
	}
	b.Secrecy.Stop = true
	_, err := b.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: steps()[:2]}}})
	var found *secrets.Error
	if !errors.As(err, &found) || len(found.Found) != 1 || found.Found[0] != (secrets.Finding{Path: "/root/.netrc", Line: 1, What: "a password"}) {
		t.Errorf("got %v", err)
	}
}

// The image of another machine says that its layer has a secret, and not where:
// who does not allow it makes it again.
func TestASecretInALayerElsewhereIsNotForgotten(t *testing.T) {
	s := serve(t, nil)
	base := pushedBase(t, s, "/base:1")
	context := map[string]string{"settings.py": "A = 1\n", "deep/key.py": "T = '" + token() + "'\n"}
	first := fresh(t, context)
	push(t, first.Client, unread(t, first, base, leaky()...), s.host+"/team/image:1")

	warned := fresh(t, context, s.host+"/team/image:1")
	img := unread(t, warned, base, leaky()...)
	if len(img.Found) != 1 || img.Steps[0].From == "" {
		t.Errorf("found %v in layers from %q", img.Found, img.Steps[0].From)
	}
	stopped := fresh(t, context, s.host+"/team/image:1")
	stopped.Secrecy.Stop = true
	_, err := stopped.Build(t.Context(), plan.Plan{Stages: []plan.Stage{{Base: base, Steps: leaky()}}})
	var found *secrets.Error
	if !errors.As(err, &found) || found.Found[0].Path != "/app/deep/key.py" {
		t.Errorf("got %v", err)
	}
	stopped.Secrecy.Allow = []string{"app/deep/key.py"}
	if again := unread(t, stopped, base, leaky()...); digest(t, again) != digest(t, img) {
		t.Error("what is allowed is another image")
	}
}
