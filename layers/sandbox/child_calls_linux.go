package sandbox

import "golang.org/x/sys/unix"

// commonCall reads the arguments of the system calls that every architecture
// has.
func commonCall(nr int, a [6]uint64) (call, bool) {
	switch nr {
	case unix.SYS_FCHOWN:
		return call{dirfd: int(int32(a[0])), uid: uint32(a[1]), gid: uint32(a[2])}, true
	case unix.SYS_FCHOWNAT:
		return call{
			hasPath: true, dirfd: int(int32(a[0])), path: a[1], uid: uint32(a[2]), gid: uint32(a[3]),
			follow: a[4]&unix.AT_SYMLINK_NOFOLLOW == 0, empty: a[4]&unix.AT_EMPTY_PATH != 0,
		}, true
	}
	return call{}, false
}
