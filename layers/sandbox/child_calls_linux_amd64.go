package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// ownerCalls are the system calls at which a command is stopped.
func ownerCalls() []int {
	return []int{unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_SETGROUPS, unix.SYS_GETGROUPS}
}

// forkCalls are those that start a process, beside clone and clone3.
func forkCalls() []int { return []int{unix.SYS_FORK, unix.SYS_VFORK} }

const sysFstatat = unix.SYS_NEWFSTATAT

// statCalls are those at which a user's own command is stopped, too.
func statCalls() []int {
	return []int{unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX}
}

// statArguments reads the arguments of one.
func statArguments(nr int, a [6]uint64) (statCall, bool) {
	switch nr {
	case unix.SYS_STAT, unix.SYS_LSTAT:
		return statCall{call: call{hasPath: true, follow: nr == unix.SYS_STAT, path: a[0], dirfd: unix.AT_FDCWD}, buf: a[1]}, true
	}
	return commonStat(nr, a)
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
