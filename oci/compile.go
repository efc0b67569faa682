package oci

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kanso-build/kanso/layers/sandbox"
)

// compileAll is lent to pip as the module compileall: it compiles on all
// processors what pip compiles on one.
//
//go:embed compileall.py
var compileAll []byte

// lentPython is where pip finds it.
const lentPython = "/run/kanso/python"

// compiling lends pip what compiles side by side. remove must be called when it
// is done.
func (b *Builder) compiling(st *state, x *execution) (remove func(), err error) {
	dir, err := os.MkdirTemp(b.Store.Scratch(), "python-")
	if err != nil {
		return nil, fmt.Errorf("lend modules: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	err = os.WriteFile(filepath.Join(dir, "compileall.py"), compileAll, 0o600)
	for _, p := range []string{dir, filepath.Join(dir, "compileall.py")} {
		if err == nil {
			err = os.Chmod(p, 0o755) //nolint:gosec // the step may run as anybody
		}
	}
	if err != nil {
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
