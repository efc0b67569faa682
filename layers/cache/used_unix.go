//go:build unix

package cache

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// usedAt is when a file was used last.
func usedAt(file string, _ fs.FileInfo) time.Time {
	var st unix.Stat_t
	if unix.Lstat(file, &st) != nil {
		return time.Time{}
	}
	return time.Unix(st.Atim.Unix())
}
