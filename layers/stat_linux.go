package layers

import (
	"io/fs"
	"syscall"
)

// stat returns the owner and device number that a file has on disk.
func stat(info fs.FileInfo) (uid, gid int, rdev uint64, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, 0, false
	}
	return int(st.Uid), int(st.Gid), st.Rdev, true
}
