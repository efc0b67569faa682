package resolve

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// A venv is a virtual environment of the project's.
type venv struct {
	dir    string // empty if there is none
	python string // "3.11"
	zenml  string // the version that is installed in it; may be empty
}

var (
	distInfo   = regexp.MustCompile(`^zenml-([0-9][^-]*)\.dist-info$`)
	pythonName = regexp.MustCompile(`^python(3\.[0-9]+)$`)
)

// findVenv finds the active virtual environment, else the one in the project.
func findVenv(root string, env map[string]string) venv {
	for _, dir := range []string{env["VIRTUAL_ENV"], env["CONDA_PREFIX"], filepath.Join(root, ".venv"), filepath.Join(root, "venv")} {
		if dir == "" {
			continue
		}
		if v := readVenv(dir); v.python != "" {
			return v
		}
	}
	return venv{}
}

func readVenv(dir string) venv {
	v := venv{dir: dir}
	libs, err := os.ReadDir(filepath.Join(dir, "lib"))
	if err != nil {
		return v
	}
	for _, lib := range libs {
		m := pythonName.FindStringSubmatch(lib.Name())
		if m == nil {
			continue
		}
		v.python = m[1]
		packages, err := os.ReadDir(filepath.Join(dir, "lib", lib.Name(), "site-packages"))
		if err != nil {
			continue
		}
		for _, p := range packages {
			if m := distInfo.FindStringSubmatch(p.Name()); m != nil {
				v.zenml = m[1]
				return v
			}
		}
	}
	return v
}

// interpreter is the environment's Python, or the one that the PATH has.
func (v venv) interpreter() string {
	switch {
	case v.dir == "" && runtime.GOOS == "windows":
		return "python"
	case v.dir == "":
		return "python3"
	case runtime.GOOS == "windows":
		return filepath.Join(v.dir, "Scripts", "python.exe")
	}
	return filepath.Join(v.dir, "bin", "python")
}

// shell is how a command line of the host's is run.
func shell(line string) []string {
	if runtime.GOOS == "windows" {
		return []string{"cmd", "/C", line}
	}
	return []string{"/bin/sh", "-c", line}
}
