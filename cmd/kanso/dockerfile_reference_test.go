package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// buildkitBuilder is BuildKit, the reference.
type buildkitBuilder struct {
	bases *dockerBases
	dir   string // the socket of its daemon, and buildctl
}

func (b *buildkitBuilder) build(t *testing.T, c *dockerCase, args []string, out string) (string, error) {
	t.Helper()
	all := []string{
		"--addr", "unix://" + filepath.Join(b.dir, "buildkitd.sock"), "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + c.dir, "--output", "type=oci,tar=false,dest=" + out,
	}
	file := filepath.Join(c.dir, "Dockerfile")
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-f":
			i++
			file = filepath.Join(c.dir, args[i])
		case a == "--no-cache":
			all = append(all, a)
		case i+1 == len(args):
			t.Fatalf("%s: %s has no value", c.file, a)
		default:
			i++
			all = append(all, b.flag(t, c, a, inCase(c, args, i, args[i]))...)
		}
	}
	all = append(all, "--local", "dockerfile="+filepath.Dir(file), "--opt", "filename="+filepath.Base(file))
	layouts := map[string]string{}
	for _, base := range b.bases.list {
		name := base.name
		if !c.mentions(name) {
			continue
		}
		if layouts[base.dir] == "" {
			layouts[base.dir] = "layout-" + name
			all = append(all, "--oci-layout", "layout-"+name+"="+base.dir)
		}
		place := "oci-layout://" + layouts[base.dir] + "@" + base.digest
		all = append(all, "--opt", "context:"+name+"="+place)
		for i, a := range all {
			if strings.HasSuffix(a, "=oci-layout://"+name) {
				all[i] = strings.Replace(a, "oci-layout://"+name, place, 1)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(b.dir, "buildctl"), all...)
	cmd.Env = os.Environ()
	for name, value := range c.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	log, err := cmd.CombinedOutput()
	if err != nil {
		return string(log), err
	}
	// What buildctl shows of warnings depends on how soon the build ends.
	lint := exec.CommandContext(t.Context(), cmd.Path, slices.Concat(cmd.Args[1:], []string{"--opt", "requestid=frontend.lint"})...)
	lint.Args = slices.DeleteFunc(lint.Args, func(a string) bool { return a == "--output" || strings.HasPrefix(a, "type=oci,") })
	lint.Env = cmd.Env
	warnings, err := lint.Output()
	must(t, err)
	return string(log) + lintLines(string(warnings)), nil
}

// lintLines has what BuildKit warns of as a line each.
func lintLines(report string) string {
	var lines strings.Builder
	rule := ""
	for line := range strings.Lines(report) {
		if r, ok := strings.CutPrefix(line, "WARNING: "); ok {
			rule = strings.Fields(r)[0]
		}
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "Dockerfile:"); ok && rule != "" {
			lines.WriteString("WARN: " + rule + " (line " + n + ")\n")
			rule = ""
		}
	}
	return lines.String()
}

// flag is what buildctl has for a flag of kanso build.
func (b *buildkitBuilder) flag(t *testing.T, c *dockerCase, name, value string) []string {
	t.Helper()
	opt := func(name string) []string { return []string{"--opt", name + value} }
	switch name {
	case "--target", "--platform", "--shm-size", "--ulimit":
		return opt(name[2:] + "=")
	case "--build-arg":
		if !strings.Contains(value, "=") {
			of, ok := c.env[value]
			if !ok {
				return nil
			}
			value += "=" + of
		}
		return opt("build-arg:")
	case "--label":
		return opt("label:")
	case "--network":
		return opt("force-network-mode=")
	case "--add-host":
		value = strings.Replace(value, ":", "=", 1)
		return opt("add-hosts=")
	case "--secret", "--ssh":
		return []string{name, value}
	case "--build-context":
		of, from, _ := strings.Cut(value, "=")
		if strings.Contains(from, "://") {
			return opt("context:")
		}
		value = of + "=local:" + of
		return append(opt("context:"), "--local", of+"="+from)
	}
	t.Fatalf("%s: BuildKit has nothing for %s", c.file, name)
	return nil
}
