//go:build unix

package resolve

import (
	"io/fs"
	"syscall"
)

// linkedFiles remembers files that have several names.
type linkedFiles struct{ names map[[2]uint64]string }

// first returns the name under which the file was seen first, if this is not
// that.
func (l *linkedFiles) first(p string, info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return ""
	}
	key := [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // of another type on other systems
	if name, ok := l.names[key]; ok {
		return name
	}
	if l.names == nil {
		l.names = map[[2]uint64]string{}
	}
	l.names[key] = p
	return ""
}
