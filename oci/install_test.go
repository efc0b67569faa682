package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kanso-build/kanso/layers"
	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
	"github.com/kanso-build/kanso/resolve/plan"
)

// writes is a runner whose commands leave files, and that remembers them.
type writes struct {
	files []layers.File
	ran   []sandbox.Command
	fail  error
}

func (w *writes) Run(ctx context.Context, c sandbox.Command) error {
	w.ran = append(w.ran, c)
	if w.fail != nil {
		err := w.fail
		w.fail = nil
		return err
	}
	if a, ok := c.After.Args.(oci.CaptureArgs); ok && a.Parts > 0 {
		parts, err := oci.Distributions(a.Parts)(w.files, func(string) bool { return false })
		if err != nil {
			return err
		}
		return layers.WriteParts(ctx, c.After.Out, parts)
	}
	return layers.Write(ctx, c.After.Out, func(yield func(layers.File, error) bool) {
		for _, f := range w.files {
			if !yield(f, nil) {
				return
			}
		}
	})
}

func (w *writes) Call(ctx context.Context, c sandbox.Call) error {
	r, err := layers.Decompress(c.In)
	if err != nil {
		return err
	}
	list, err := layers.List(ctx, r)
	if err != nil {
		return err
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	_, err = oci.Unpacked{List: data}.WriteTo(c.Out)
	return err
}

func (w *writes) Trees() string  { return "test" }
func (w *writes) Owners() string { return "xattr" }
func (w *writes) CanKeep() bool  { return false }

func TestInstallKeepsWhatTheInstallerLeft(t *testing.T) {
	b := builder(t, map[string]string{"a.py": "1"})
	run := &writes{files: []layers.File{file("opt/lib.py", "lib", 0o644), file("app/left", "x", 0o600)}}
	b.Runner = func(context.Context, sandbox.IDs) (oci.Runner, error) { return run, nil }
	b.Access = map[string]oci.Access{"pip": {Env: []string{"PIP_CACHE_DIR=/c", "PIP_INDEX_URL=https://u:secret@x"}, Mounts: []sandbox.Mount{{Source: "/c", Target: "/c"}}}}
	b.StepEnv = map[string]string{"TOKEN": "secret"}
	base := plainBase(t)
	install := plan.Install{Installer: "pip", Requirements: "lib\n", File: "/app/.requirements", Command: []string{"pip", "install", "--no-cache-dir", "-r", ".requirements"}, Env: []string{"TOKEN"}}
	steps := []plan.Step{plan.Set{WorkingDir: "/app"}, install, plan.Copy{Files: []string{"a.py"}, Dest: "/app", Modes: plan.ModesGit, AddMode: 0o666, Adopt: true}}
	img := build(t, b, base, steps...)
	want := [][]string{
		{"-rw-r--r-- opt/lib.py lib", "-rw------- app/left x"},
		{"drwxrwxrwx app", "-rw-rw-rw- app/a.py 1", "-rw-rw-rw- app/left x"},
	}
	if d := cmp.Diff(want, contents(t, img, 1)); d != "" {
		t.Error(d)
	}
	if len(run.ran) != 1 || img.Ran != 1 {
		t.Fatalf("ran %d commands, says %d", len(run.ran), img.Ran)
	}
	c := run.ran[0]
	if len(c.Files) != 1 || c.Files[0].Path != "/app/.requirements" || c.Files[0].Mode != 0o666 || string(c.Files[0].Data) != "lib\n" {
		t.Errorf("put in place: %+v", c.Files)
	}
	if slices.Contains(c.Args, "--no-cache-dir") {
		t.Errorf("the lent cache is not used: %q", c.Args)
	}
	for _, e := range []string{"TOKEN=secret", "SOURCE_DATE_EPOCH=315532800", "HOME=/root", "PATH=/usr/bin"} {
		if !slices.Contains(c.Env, e) {
			t.Errorf("the step's environment lacks %s: %q", e, c.Env)
		}
	}
	raw, err := img.RawConfigFile()
	if err != nil || bytes.Contains(raw, []byte("secret")) {
		t.Errorf("a secret is in the configuration, %v: %s", err, raw)
	}
	if img = build(t, b, base, steps...); img.Ran != 0 || len(run.ran) != 1 {
		t.Errorf("it ran again")
	}
}
