//go:build linux && !amd64

package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// ownerCalls are the system calls at which a command is stopped.
func ownerCalls() []int {
	return []int{unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_SETGROUPS, unix.SYS_GETGROUPS}
}

// forkCalls are those that start a process, beside clone and clone3.
func forkCalls() []int { return nil }

const sysFstatat = unix.SYS_FSTATAT

// statCalls are those at which a user's own command is stopped, too.
func statCalls() []int { return []int{unix.SYS_FSTAT, unix.SYS_FSTATAT, unix.SYS_STATX} }

// statArguments reads the arguments of one.
func statArguments(nr int, a [6]uint64) (statCall, bool) { return commonStat(nr, a) }

// ownerCall reads the arguments of one; it is not ok for those that change no
// file.
func ownerCall(nr int, a [6]uint64) (call, bool) { return commonCall(nr, a) }
