package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

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
	paths := r.sources.Paths
	if !r.out.ContainsCode {
		paths = pythonBelow(r.Context)
	}
	sources := pythonSourcesOf(r.Context, paths)
	if warning := r.o.remembered("settings in Python below "+r.Context, sources.sum(), sources.settings); warning != "" {
		r.warnf("%s", warning)
	}
}

// remembered is what find found out when sum was the same; it is asked if that
// is not known.
func (o Options) remembered(key, sum string, find func() string) string {
	if o.Memory == nil {
		return find()
	}
	text, _ := o.Memory.Recall(key)
	if found, ok := strings.CutPrefix(text, sum+"\n"); ok {
		return found
	}
	found := find()
	o.Memory.Keep(key, sum+"\n"+found)
	return found
}

// pythonSources are Python files below a root.
type pythonSources struct {
	root  string
	paths []string // relative, with slashes
	all   hash.Hash
}

// pythonSourcesOf are the first of the paths that are Python files small enough
// to be looked at.
func pythonSourcesOf(root string, paths []string) pythonSources {
	s := pythonSources{root: root, all: sha256.New()}
	var files []string
	for _, p := range paths {
		if strings.HasSuffix(p, ".py") {
			files = append(files, p)
		}
	}
	for some := range slices.Chunk(files, pythonFiles) {
		for i, info := range lstatAll(root, some) {
			if len(s.paths) == pythonFiles {
				return s
			}
			if info == nil || !info.Mode().IsRegular() || info.Size() > pythonLimit {
				continue
			}
			s.paths = append(s.paths, some[i])
			fmt.Fprintf(s.all, "%q %d %d\n", some[i], info.Size(), info.ModTime().UnixNano())
		}
	}
	return s
}

// lstatAll looks at files, several at a time; nil is one that cannot be looked at.
func lstatAll(root string, paths []string) []fs.FileInfo {
	infos := make([]fs.FileInfo, len(paths))
	var all sync.WaitGroup
	for first := 0; first < len(paths); first += crowd {
		all.Go(func() {
			for i := first; i < min(len(paths), first+crowd); i++ {
				if info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(paths[i]))); err == nil {
					infos[i] = info
				}
			}
		})
	}
	all.Wait()
	return infos
}

// sum tells the files from what they were before, as far as sizes and times do:
// it decides about a warning only.
func (s pythonSources) sum() string { return hex.EncodeToString(s.all.Sum(nil)) }

// settings says where settings stand in one of the files, if they do.
func (s pythonSources) settings() string {
	for _, p := range s.paths {
		data, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(p)))
		if err != nil || !bytes.Contains(data, []byte("zenml")) {
			continue
		}
		if at := settingsInPython(data); at >= 0 {
			return fmt.Sprintf("%s:%d: settings stand in Python, which is not read: --pipeline-source FILE:NAME has ZenML read it",
				p, 1+bytes.Count(data[:at], []byte("\n")))
		}
	}
	return ""
}

// settingsInPython is where Docker settings stand in a source, as
// "DockerSettings(" or as "settings = " and a word or a brace; -1 if there are
// none. Every source of a project is searched in every build, so it is no
// regular expression.
func settingsInPython(data []byte) int {
	const docker, tail = "Docker", "ettings"
	for from := 0; ; {
		i := bytes.Index(data[from:], []byte(tail))
		if i < 0 {
			return -1
		}
		i += from
		from = i + len(tail)
		rest := data[from:]
		switch {
		case i == 0:
		case data[i-1] == 'S' && bytes.HasPrefix(rest, []byte("(")) && bytes.HasSuffix(data[:i-1], []byte(docker)):
			if at := i - 1 - len(docker); wordBegins(data, at) {
				return at
			}
		case data[i-1] == 's' && assignsWord(rest) && wordBegins(data, i-1):
			return i - 1
		}
	}
}

// wordBegins says whether no word leads up to a place.
func wordBegins(data []byte, at int) bool { return at == 0 || !wordByte(data[at-1]) }

// assignsWord says whether an equals sign and a word or a brace follow.
func assignsWord(rest []byte) bool {
	const space = " \t\n\f\r"
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(rest, space), []byte("="))
	rest = bytes.TrimLeft(rest, space)
	return ok && len(rest) > 0 && (rest[0] == '{' || wordByte(rest[0]))
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
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
