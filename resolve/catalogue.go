package resolve

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// A Module is a source file of ZenML's package.
type Module = zenml.Module

// IsModule says whether a file of ZenML's package, by its path below it, is one
// that says what integrations need.
func IsModule(p string) bool { return zenml.IsModule(p) }

// moduleLimit is the size in bytes up to which a module of ZenML's is read.
const moduleLimit = 1 << 20

// findCatalogue finds what integrations need in the image's version of ZenML:
// in the wheel that is named, in what is known of the version, in the project's
// environment, in the base, or else in the nearest version that is known. A
// warning says where it comes from unless it is the first or second.
func (r *recipe) findCatalogue(ctx context.Context) error {
	if r.tableFound {
		return nil
	}
	r.tableFound = true
	if r.o.Wheel != "" {
		modules, err := wheelModules(r.o.Wheel)
		if err != nil {
			return fmt.Errorf("ZenML's wheel: %w", err)
		}
		return r.scan(modules, r.o.Wheel, false)
	}
	if r.table.Version == r.ZenML {
		return nil
	}
	if dir := r.venv.modules(); dir != "" && r.venv.zenml == r.ZenML {
		modules, err := dirModules(os.DirFS(dir))
		if err != nil {
			return fmt.Errorf("the project's ZenML: %w", err)
		}
		return r.scan(modules, dir, true)
	}
	if r.bases != nil && r.docker.Dockerfile == "" {
		base := r.baseOrDefault()
		modules, err := r.bases.Modules(ctx, base, r.platform())
		if err == nil && len(modules) > 0 {
			return r.scan(modules, base, true)
		}
	}
	r.warnf("what integrations need in ZenML %s is not known: taking that of %s (--zenml-wheel FILE has it)", r.ZenML, r.table.Version)
	return nil
}

// scan takes the catalogue of ZenML's own modules.
func (r *recipe) scan(modules []zenml.Module, from string, tell bool) error {
	table, unread, err := zenml.ScanCatalogue(modules)
	if err != nil {
		return fmt.Errorf("integrations of %s: %w", from, err)
	}
	if table.Version != "" && table.Version != r.ZenML {
		r.warnf("what integrations need is that of ZenML %s, which %s has, and the image is for %s", table.Version, from, r.ZenML)
	} else if tell {
		r.warnf("what integrations need in ZenML %s is read from %s", r.ZenML, from)
	}
	if len(unread) > 0 {
		r.warnf("what these integrations need could not be read from %s: %s", from, strings.Join(unread, ", "))
	}
	r.table = table
	return nil
}

// wheelModules reads ZenML's modules from its wheel.
func wheelModules(file string) ([]zenml.Module, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	sub, err := fs.Sub(z, "zenml")
	if err != nil {
		return nil, err
	}
	return dirModules(sub)
}

// dirModules reads ZenML's modules below the directory of its package.
func dirModules(dir fs.FS) ([]zenml.Module, error) {
	names, err := fs.Glob(dir, "integrations/*/__init__.py")
	if err != nil {
		return nil, err
	}
	var modules []zenml.Module
	for _, name := range append(names, "VERSION", "integrations/constants.py") {
		text, err := readModule(dir, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		modules = append(modules, zenml.Module{Path: name, Text: text})
	}
	return modules, nil
}

func readModule(dir fs.FS, name string) (string, error) {
	f, err := dir.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, moduleLimit))
	return string(data), err
}

// modules is the directory of ZenML's package; empty if there is none.
func (v venv) modules() string {
	if v.dir == "" || v.zenml == "" {
		return ""
	}
	dir := filepath.Join(v.dir, "lib", "python"+v.python, "site-packages", "zenml")
	if isDir(dir) != nil {
		return ""
	}
	return dir
}
