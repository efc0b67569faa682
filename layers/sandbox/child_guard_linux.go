package sandbox

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Whoever runs a build, a command has no more of the kernel than it has in a
// container of Docker's: a filter refuses the calls that [refusals] names, on
// every architecture that the kernel runs programs of.

// A guard says for whom the filter is.
type guard struct {
	// newPrivileges lets the command gain some by setuid programs, as in Docker;
	// where that and the filter cannot both be had, the filter is left out.
	newPrivileges bool
	// alone says that there is a pid namespace, in which all processes are the
	// command's.
	alone bool
	// everyThread is for the whole process, else it is the calling thread and
	// what it becomes.
	everyThread bool
}

// install puts the filter in place. A kernel without filters has none.
func (g guard) install() error {
	if !g.newPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("renounce new privileges: %w", err)
		}
	}
	var flags uintptr
	if g.everyThread {
		flags = unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	_, errno := applyFilter(g.program(), flags)
	switch {
	case errno == 0, errors.Is(errno, unix.ENOSYS), errors.Is(errno, unix.EINVAL):
		return nil
	case errors.Is(errno, unix.EACCES) && g.newPrivileges:
		return nil
	}
	return fmt.Errorf("filter system calls: %w", errno)
}

// applyFilter puts a program before every call that the thread makes from now on,
// or with SECCOMP_FILTER_FLAG_TSYNC all threads; with
// SECCOMP_FILTER_FLAG_NEW_LISTENER it returns a descriptor that the caller closes.
func applyFilter(prog []unix.SockFilter, flags uintptr) (fd int, errno unix.Errno) {
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]} //nolint:gosec // some hundreds
	n, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	return int(n), errno //nolint:gosec // a descriptor
}

// The places in what a filter sees of a call, in bytes.
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16 // each of 8 bytes; the lower half comes first on all architectures here
)

func load(at int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(at)} //nolint:gosec // one of the above
}

// jump compares what was loaded, and skips instructions.
func jump(how uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func answer(what uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
}

func refuse(errno unix.Errno) unix.SockFilter {
	return answer(unix.SECCOMP_RET_ERRNO | uint32(errno)) //nolint:gosec // errors have small numbers
}

// An architecture has numbers of its own for calls.
type architecture struct {
	audit  uint32
	number func(amd64, arm64, i386 int) int
}

// architectures are those that commands may be of.
func architectures() []architecture {
	amd64 := architecture{unix.AUDIT_ARCH_X86_64, func(n, _, _ int) int { return n }}
	arm64 := architecture{unix.AUDIT_ARCH_AARCH64, func(_, n, _ int) int { return n }}
	i386 := architecture{unix.AUDIT_ARCH_I386, func(_, _, n int) int { return n }}
	if auditArch == unix.AUDIT_ARCH_X86_64 {
		return []architecture{amd64, i386}
	}
	return []architecture{arm64}
}

// program is the filter: a part for each architecture, and calls of others do
// not exist.
func (g guard) program() []unix.SockFilter {
	var prog []unix.SockFilter
	for _, a := range architectures() {
		part := g.part(a)
		prog = append(prog, load(atArch), jump(unix.BPF_JEQ, a.audit, 1, 0),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(part))}) //nolint:gosec // some hundreds
		prog = append(prog, part...)
	}
	return append(prog, refuse(unix.ENOSYS))
}

// part is the filter for one architecture. It always answers.
func (g guard) part(a architecture) []unix.SockFilter {
	prog := []unix.SockFilter{load(atNumber), jump(unix.BPF_JGT, newest, 0, 1), refuse(unix.ENOSYS)} // as those of x32 are
	for _, r := range refusals() {
		n := a.number(r.amd64, r.arm64, r.i386)
		if n == none || r.alone && g.alone {
			continue
		}
		prog = append(prog, jump(unix.BPF_JEQ, uint32(n), 0, 1), refuse(r.errno)) //nolint:gosec // a number
	}
	for _, arg := range arguments() {
		if arg.alone && g.alone {
			continue
		}
		n := a.number(arg.amd64, arg.arm64, arg.i386)
		check := arg.check()
		prog = append(prog, jump(unix.BPF_JEQ, uint32(n), 0, uint8(len(check)))) //nolint:gosec // a number and a few
		prog = append(prog, check...)
	}
	return append(prog, answer(unix.SECCOMP_RET_ALLOW))
}

// check is what is asked of a call with such arguments. It always answers.
func (a argument) check() []unix.SockFilter {
	prog := []unix.SockFilter{load(atArgs + 8*a.index)}
	for _, v := range a.values {
		prog = append(prog, jump(unix.BPF_JEQ, v, 0, 1), refuse(unix.EPERM))
	}
	if a.bits != 0 {
		prog = append(prog, jump(unix.BPF_JSET, a.bits, 0, 1), refuse(unix.EPERM))
	}
	if len(a.only) == 0 {
		return append(prog, answer(unix.SECCOMP_RET_ALLOW))
	}
	for _, v := range a.only {
		prog = append(prog, jump(unix.BPF_JEQ, v, 0, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	return append(prog, refuse(unix.EPERM))
}
