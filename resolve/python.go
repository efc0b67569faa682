package resolve

import (
	"bytes"
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
	if r.compiled != nil {
		return
	}
	looked := 0
	for _, p := range r.sources.Paths {
		if !strings.HasSuffix(p, ".py") || looked == pythonFiles {
			continue
		}
		looked++
		file := filepath.Join(r.sources.Root, filepath.FromSlash(p))
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
