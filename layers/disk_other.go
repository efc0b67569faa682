//go:build !linux

package layers

import "io/fs"

// Device returns the numbers of a device that is on disk; 0 of other files.
func Device(fs.FileInfo) (major, minor int64) { return 0, 0 }

// Capabilities returns the file capabilities of a file on disk, as an extended
// attribute; nil if it has none.
func Capabilities(string, fs.FileInfo) map[string]string { return nil }

// LinkID identifies a file on disk that has several names.
func LinkID(fs.FileInfo) (dev, ino uint64, ok bool) { return 0, 0, false }
