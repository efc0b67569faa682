package resolve

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// settingsInPython is how Docker settings stand in sources.
var settingsInPython = regexp.MustCompile(`\bDockerSettings\(|\bsettings\s*=\s*[{\w]`)

const (
	pythonLimit = 256 << 10 // bytes of a file up to which it is looked at
	pythonFiles = 1000      // files that are looked at
)

// warnOfPython warns, once, where settings stand in Python that nobody read.
func (r *recipe) warnOfPython() {
	if r.compiled != nil || r.looked {
		return
	}
	r.looked = true
	looked, paths := 0, r.sources.Paths
	if !r.out.ContainsCode {
		paths = pythonBelow(r.Context)
	}
	for _, p := range paths {
		if !strings.HasSuffix(p, ".py") || looked == pythonFiles {
			continue
		}
		looked++
		file := filepath.Join(r.Context, filepath.FromSlash(p))
		info, err := os.Lstat(file)
		if err != nil || !info.Mode().IsRegular() || info.Size() > pythonLimit {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(data, []byte("zenml")) {
			continue
		}
		if at := settingsInPython.FindIndex(data); at != nil {
			r.warnf("%s:%d: settings stand in Python, which is not read: --pipeline-source FILE:NAME has ZenML read it",
				p, 1+bytes.Count(data[:at[0]], []byte("\n")))
			return
		}
	}
}

// pythonBelow are the Python files below a directory, up to a limit. Hidden
// directories and virtual environments are left out.
func pythonBelow(root string) []string {
	var paths []string
	_ = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error { // what cannot be read is not looked at
		rel, relErr := filepath.Rel(root, p)
		switch {
		case err != nil || relErr != nil || len(paths) == pythonFiles:
			return fs.SkipDir
		case e.IsDir() && rel != "." && (e.Name()[0] == '.' || isDir(filepath.Join(p, "lib")) == nil && isDir(filepath.Join(p, "bin")) == nil):
			return fs.SkipDir
		case strings.HasSuffix(rel, ".py") && e.Type().IsRegular():
			paths = append(paths, filepath.ToSlash(rel))
		}
		return nil
	})
	return paths
}
