package layers

import (
	"io/fs"
	"syscall"
)

// Device returns the numbers of a device that is on disk; 0 of other files.
func Device(info fs.FileInfo) (major, minor int64) { return deviceOf(info) }

// Capabilities returns the file capabilities of a file on disk, as an extended
// attribute; nil if it has none.
func Capabilities(file string, info fs.FileInfo) map[string]string {
	if !info.Mode().IsRegular() {
		return nil
	}
	value, err := xattr(file, CapabilityXattr)
	if err != nil || value == "" {
		return nil // it has none, or the file system knows of none
	}
	return map[string]string{CapabilityXattr: value}
}

// LinkID identifies a file on disk that has several names.
func LinkID(info fs.FileInfo) (dev, ino uint64, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.IsDir() || st.Nlink < 2 {
		return 0, 0, false
	}
	return uint64(st.Dev), st.Ino, true
}
