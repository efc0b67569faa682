package cache

import (
	"io/fs"
	"syscall"
	"time"
)

// usedAt is when a file was used last.
func usedAt(_ string, info fs.FileInfo) time.Time {
	if a, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		return time.Unix(0, a.LastAccessTime.Nanoseconds())
	}
	return info.ModTime()
}
