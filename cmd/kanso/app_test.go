package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kanso-build/kanso/layers/sandbox"
	"github.com/kanso-build/kanso/oci"
)

func TestExitStatusAndMessage(t *testing.T) {
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(signalError{syscall.SIGINT})
	exit := &sandbox.ExitError{Args: []string{"pip", "install", "x"}, Code: 1, Tail: "ERROR: No matching distribution found\n"}
	for name, c := range map[string]struct {
		ctx    context.Context //nolint:containedctx // one of the inputs
		err    error
		status int
		want   string
	}{
		"nothing":                          {t.Context(), nil, 0, ""},
		"a command line":                   {t.Context(), usagef("no such flag"), 2, "kanso: no such flag\n"},
		"a failed step":                    {t.Context(), fmt.Errorf("step 3, INSTALL pip install x: %w", exit), 1, "  | ERROR: No matching distribution found\nkanso: step 3, INSTALL pip install x: exit code 1\nhint: the lines above"},
		"a step that had one id":           {t.Context(), &sandbox.ExitError{Args: []string{"su"}, Code: 1, Tail: "x", IDs: true}, 1, "  | x\nkanso: exit code 1\nhint: the step had one user id, and su, sudo, gosu and the like need more: give your user"},
		"a command's own":                  {t.Context(), fmt.Errorf("run: %w", statusError(7)), 7, ""},
		"ctrl-c":                           {interrupted, errors.New("whatever that led to"), 130, "kanso: interrupted\n"},
		"a full disk":                      {t.Context(), fmt.Errorf("write x: %w", syscall.ENOSPC), 1, "kanso: write x: no space left on device\nhint: make room"},
		"a full disk, told by the sandbox": {t.Context(), errors.New("unpack: no space left on device"), 1, "kanso: unpack: no space left on device\nhint: make room"},
		"too few ids":                      {t.Context(), sandbox.ErrNeedsIDs, 1, "kanso: " + sandbox.ErrNeedsIDs.Error() + "\nhint: give your user subordinate ids"},
		"no sandbox":                       {t.Context(), sandbox.ErrUnavailable, 1, "kanso: " + sandbox.ErrUnavailable.Error() + "\nhint: kanso doctor"},
		"no base":                          {t.Context(), fmt.Errorf("base x: %w", oci.ErrNotFound), 1, "kanso: base x: not found\nhint: check name and tag"},
		"no push":                          {t.Context(), &oci.RefusedError{Repository: "host:1/a/b", Status: 403, Msg: "no"}, 1, "kanso: push to host:1/a/b: the registry refuses it (403): no\nhint: access was denied: kanso doctor host:1"},
		"no repository":                    {t.Context(), &oci.RefusedError{Repository: "1.dkr.ecr.eu.example/a/b", Status: 404, Code: "NAME_UNKNOWN", Msg: "no"}, 1, "kanso: push to 1.dkr.ecr.eu.example/a/b: the registry refuses it (404): no\nhint: aws ecr create-repository --repository-name a/b"},
		"a mirror":                         {t.Context(), &oci.RefusedError{Repository: "h/b", Status: 405, Msg: "no"}, 1, "kanso: push to h/b: the registry refuses it (405): no\nhint: nothing can be pushed there"},
		"an immutable tag":                 {t.Context(), &oci.RefusedError{Repository: "h/b", Status: 409, Code: "TAG_INVALID", Msg: "immutable", Type: "t"}, 1, "kanso: push to h/b: the registry refuses it (409): immutable\nhint: the tag is another image"},
		"unknown media types":              {t.Context(), &oci.RefusedError{Repository: "h/b", Status: 415, Msg: "no", Type: "t"}, 1, "kanso: push to h/b: the registry refuses it (415): no\nhint: --format docker"},
		"a foreign realm":                  {t.Context(), &oci.RealmError{Registry: "h", Realm: "t.example"}, 1, "kanso: h wants tokens to be got from t.example, which is not of its domain\nhint: if t.example may give tokens for it: --token-host t.example"},
		"a realm at a private address":     {t.Context(), &oci.AddressError{Registry: "h", Host: "t.h", Address: "10.0.0.1", Kind: "private"}, 1, "kanso: h leads to t.h, which is at the private address 10.0.0.1\nhint: if it may lead to t.h: --token-host t.h"},
		"plain HTTP":                       {t.Context(), &oci.PlainError{Host: "host:1"}, 1, "kanso: plain HTTP is not allowed with host:1\nhint: --insecure host:1"},
		"a secret":                         {t.Context(), errors.New("GET https://u:hunter2222@host/"), 1, "kanso: GET https://u:***@host/\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			a := newApp(environ{"X_PASSWORD": "hunter2222"}, nil, io.Discard, &out)
			if got := a.explain(c.ctx, c.err); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			if err := a.stderr.flush(); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.String(), c.want) || c.want == "" && out.String() != "" {
				t.Errorf("says %q, want %q", out.String(), c.want)
			}
		})
	}
}

func TestEveryKindOfProgressShowsWhatStepsPrint(t *testing.T) {
	for kind, want := range map[string][]string{
		"plain": {"=> pip\n", "   a note\n", "from the step\n", "   push: 3.0 kB in "},
		"json":  {`{"event":"step","name":"pip"}`, `{"event":"note","message":"a note"}`, `{"event":"output","message":"from the step"}`, `"bytes":3000`},
		"auto":  {"=> pip\n", "from the step\n"}, // a file is no terminal
		"quiet": nil,
	} {
		t.Run(kind, func(t *testing.T) {
			var out strings.Builder
			a := newApp(environ{}, nil, io.Discard, &out)
			show, err := a.display(kind)
			if err != nil {
				t.Fatal(err)
			}
			exercise(show)
			if err := a.stderr.flush(); err != nil {
				t.Fatal(err)
			}
			checkShown(t, out.String(), want)
			if kind == "json" {
				for line := range strings.Lines(out.String()) {
					if !json.Valid([]byte(line)) {
						t.Errorf("not an object: %q", line)
					}
				}
			}
		})
	}
	t.Run("bars", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "out")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		exercise(newBars(f, &redactor{}))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkShown(t, string(data), []string{"=> pip\n", "from the step\n"})
	})
}

func exercise(show display) {
	show.Step("pip")
	show.Note("a note")
	_, _ = io.WriteString(show.output(), "from the step\n")
	add, done := show.Bytes("push", 3000)
	add(1000)
	add(2000)
	done(nil)
	_, failed := show.Bytes("pull", -1)
	failed(errors.New("broken"))
	show.close()
}

func checkShown(t *testing.T, got string, want []string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q is not in %q", w, got)
		}
	}
	if want == nil && got != "" {
		t.Errorf("shows %q", got)
	}
}
