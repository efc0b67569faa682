package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// gitDeadline is for one command of git's: a repository can be big.
const gitDeadline = 10 * time.Minute

// checkout checks a repository out, "URL[#REF[:DIR]]", into an empty directory
// and returns the commit. The host's git does it, with its own ways to
// credentials but without asking anybody.
func (a *app) checkout(ctx context.Context, source, dir string, keepGit bool) (commit string, err error) {
	a.redact.add(urlSecrets(source)...)
	exe, err := lookPath(a.env, "git")
	if err != nil {
		return "", hinted(fmt.Errorf("git source %s: %w", source, err), "install git, or copy a directory of the context")
	}
	remote, fragment, _ := strings.Cut(source, "#")
	ref, sub, _ := strings.Cut(fragment, ":")
	if strings.HasPrefix(remote, "-") || strings.HasPrefix(ref, "-") {
		return "", fmt.Errorf("git source %s: it looks like an option", source)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "git-")
	if err != nil {
		return "", fmt.Errorf("git source %s: %w", source, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	g := gitRun{a, exe, temp}
	if commit, err = g.fetch(ctx, remote, ref); err != nil {
		return "", fmt.Errorf("git source %s: %w", source, err)
	}
	if !keepGit {
		if err := os.RemoveAll(filepath.Join(temp, ".git")); err != nil {
			return "", fmt.Errorf("git source %s: %w", source, err)
		}
	}
	if err := moveAll(temp, sub, dir); err != nil {
		return "", fmt.Errorf("git source %s: %w", source, err)
	}
	return commit, nil
}

// A gitRun runs the host's git in a directory.
type gitRun struct {
	a        *app
	exe, dir string
}

// fetch makes a work tree of a reference, or of a commit, with its submodules.
func (g gitRun) fetch(ctx context.Context, remote, ref string) (commit string, err error) {
	if ref == "" {
		ref = "HEAD"
	}
	if _, err := g.run(ctx, "init", "--quiet", "--template="); err != nil {
		return "", err
	}
	if _, err := g.run(ctx, "remote", "add", "--", "origin", remote); err != nil {
		return "", err
	}
	if _, err := g.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "origin", ref); err != nil {
		// Some servers give no single commits and no shallow copies.
		if _, e := g.run(ctx, "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"); e != nil {
			return "", err
		}
	} else {
		ref = "FETCH_HEAD"
	}
	for _, name := range []string{ref, "refs/remotes/origin/" + ref, "refs/tags/" + ref} {
		if commit, err = g.run(ctx, "rev-parse", "--verify", "--quiet", name+"^{commit}"); err == nil {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("there is no %s", ref)
	}
	commit = strings.TrimSpace(commit)
	if _, err := g.run(ctx, "checkout", "--quiet", "--detach", commit); err != nil {
		return "", err
	}
	_, err = g.run(ctx, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
	return commit, err
}

// run runs git, which asks nobody, runs no hooks and reads no other files than
// the user's own settings.
func (g gitRun) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitDeadline)
	defer cancel()
	always := []string{
		"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.askPass=", "-c", "protocol.allow=never", "-c", "protocol.http.allow=always",
		"-c", "protocol.https.allow=always", "-c", "protocol.ssh.allow=always", "-c", "protocol.git.allow=always", "-c", "advice.detachedHead=false",
	}
	cmd := exec.CommandContext(ctx, g.exe, slices.Concat(always, args)...)
	cmd.Dir = g.dir
	for name, value := range sorted(g.a.env) {
		if !strings.HasPrefix(name, "GIT_") || slices.Contains([]string{"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSH"}, name) {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GCM_INTERACTIVE=never", "LC_ALL=C")
	if g.a.env["GIT_SSH"] == "" {
		cmd.Env = append(cmd.Env, "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	}
	out, err := output(ctx, cmd)
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return string(out), nil
}

// moveAll moves what is in a directory of a work tree to another directory. No
// link leads out of the work tree on the way.
func moveAll(from, sub, to string) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer root.Close()
	if sub = strings.Trim(filepath.ToSlash(filepath.Clean("/"+sub)), "/"); sub == "" {
		sub = "."
	}
	at, err := root.Open(sub)
	if err != nil {
		return err
	}
	defer at.Close()
	entries, err := at.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		real, err := filepath.EvalSymlinks(filepath.Join(from, sub))
		if err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(real, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
