package oci

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// modules are lent to pip. What it compiles on one processor compileall
// compiles on all, and what its resolver asks an index for one after the other
// kanso_lookahead fetches side by side.
//
//go:embed lent/*.py
var modules embed.FS

// lentPython is where pip finds them.
const lentPython = "/run/kanso/python"

// hastened lends pip what makes it faster. remove must be called when it is done.
func (b *Builder) hastened(st *state, x *execution) (remove func(), err error) {
	dir, err := os.MkdirTemp(b.Store.Scratch(), "python-")
	if err != nil {
		return nil, fmt.Errorf("lend modules: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := lendModules(dir); err != nil {
		remove()
		return nil, fmt.Errorf("lend modules: %w", err)
	}
	path := lentPython
	env := slices.Clone(st.config.Config.Env)
	for _, v := range x.run.Vars {
		env = setEnv(env, v.Name, v.Value)
	}
	for _, e := range env {
		if own, ok := strings.CutPrefix(e, "PYTHONPATH="); ok && own != "" {
			path += ":" + own
		}
	}
	x.mounts = append(slices.Clone(x.mounts), sandbox.Mount{Source: dir, Target: lentPython, ReadOnly: true})
	x.vars = append(slices.Clone(x.vars), "PYTHONPATH="+path)
	return remove, nil
}

// lendModules writes the modules that are lent; the step may run as anybody.
func lendModules(dir string) error {
	files, err := fs.Sub(modules, "lent")
	if err == nil {
		err = os.CopyFS(dir, files)
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(p, 0o755) //nolint:gosec // see above
	})
}
