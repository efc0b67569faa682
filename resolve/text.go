package resolve

import (
	"fmt"
	"os"
	"strings"

	"github.com/kanso-build/kanso/resolve/zenml"
)

// pyText is a file's text as Python reads it: every end of a line is a newline.
func pyText(data []byte) string {
	return strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
}

// pathLimit is the length in bytes from which on a text is no path.
const pathLimit = 4096

// packed is what ZenML packs for a file that it generates: the text, but where
// a file is called like the whole text, what is in that.
func (r *recipe) packed(name, text string) (string, error) {
	if !r.o.Compat || text == "" || len(text) >= pathLimit || strings.ContainsRune(text, 0) {
		return text, nil
	}
	file := from(r.o.Dir, text)
	info, err := os.Stat(file)
	if err != nil {
		return text, nil //nolint:nilerr // no file is called so, which is the rule
	}
	advice := "without --compat zenml the text is taken as it is"
	if info.IsDir() {
		return "", &zenml.Error{Msg: fmt.Sprintf("%s: settings.docker: the file %s, which ZenML packs since it is called like the whole text, cannot be read: it is a directory", name, text), Advice: advice}
	}
	r.warnf("%s: ZenML packs the file %s, which is called like its whole text", name, text)
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return pyText(data), nil
}
