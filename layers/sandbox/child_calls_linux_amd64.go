package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// ownerCalls are the system calls at which a command is stopped.
func ownerCalls() []int {
	return []int{unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_SETGROUPS, unix.SYS_GETGROUPS}
}

// ownerCall reads the arguments of one; it is not ok for those that change no
// file.
func ownerCall(nr int, a [6]uint64) (call, bool) {
	switch nr {
	case unix.SYS_CHOWN, unix.SYS_LCHOWN:
		return call{hasPath: true, follow: nr == unix.SYS_CHOWN, path: a[0], dirfd: unix.AT_FDCWD, uid: uint32(a[1]), gid: uint32(a[2])}, true
	}
	return commonCall(nr, a)
}
