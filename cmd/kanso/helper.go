package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Deadlines of what is run on the host.
const (
	helperDeadline  = 10 * time.Second
	commandDeadline = 5 * time.Minute // a pipeline's imports take their time on a busy machine
)

// helperEnv are the variables that a credential helper is given: where it
// keeps things and how it reaches them.
func helperEnv(env environ) []string {
	names := []string{
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "DOCKER_CONFIG",
		"GNUPGHOME", "PASSWORD_STORE_DIR", "SystemRoot", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
	}
	prefixes := []string{"XDG_", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"}
	var out []string
	for name, value := range env {
		if slices.Contains(names, name) || slices.Contains(proxyNames(), name) ||
			slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			out = append(out, name+"="+value)
		}
	}
	slices.Sort(out)
	return out
}

// credentialHelper asks docker-credential-NAME for the credentials of a host
// and returns its answer, a JSON object.
func (a *app) credentialHelper(ctx context.Context, helper, host string) ([]byte, error) {
	name := "docker-credential-" + helper
	if strings.ContainsAny(helper, `/\`) || helper == "" {
		return nil, fmt.Errorf("credential helper %q is not a name", helper)
	}
	exe, err := lookPath(a.env, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helperDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "get")
	cmd.Env, cmd.Dir, cmd.Stdin = helperEnv(a.env), filepath.Dir(exe), strings.NewReader(host+"\n")
	out, err := output(ctx, cmd)
	if err != nil {
		// The helpers' protocol: errors are on stdout.
		if msg := strings.TrimSpace(string(out)); msg != "" && len(msg) < 200 {
			return out, fmt.Errorf("%s: %s", name, msg)
		}
		return out, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// command runs a command of the host, with the host's environment, and returns
// what it prints.
func (a *app) command(ctx context.Context, dir string, argv []string) ([]byte, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command")
	}
	exe := argv[0]
	if !filepath.IsAbs(exe) {
		var err error
		if exe, err = lookPath(a.env, exe); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, commandDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, argv[1:]...)
	cmd.Dir = dir
	for name, value := range a.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := output(ctx, cmd)
	if err != nil {
		return out, fmt.Errorf("run %s: %w", shown(argv), err)
	}
	return out, nil
}

// shown is a command as errors name it: whole programs among its arguments are
// left out.
func shown(argv []string) string {
	words := slices.Clone(argv)
	for i, w := range words {
		if strings.Contains(w, "\n") {
			words[i] = "..."
		}
	}
	return strings.Join(words, " ")
}

// output is cmd.Output with the end of stderr in the error and with the
// context's cause if that ended it.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case err == nil:
		return out, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return out, errors.New("no answer in time")
	case ctx.Err() != nil:
		return out, context.Cause(ctx)
	}
	if msg := strings.TrimSpace(stderr.String()); msg != "" {
		return out, fmt.Errorf("%w: %s", err, msg[max(0, len(msg)-500):])
	}
	return out, err
}

// lookPath finds a program in the absolute directories of PATH.
func lookPath(env environ, name string) (string, error) {
	for _, dir := range filepath.SplitList(env["PATH"]) {
		if !filepath.IsAbs(dir) {
			continue // never a program of the project's directory
		}
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w in PATH", name, errNotFound)
}

var errNotFound = errors.New("not found")
