package sandbox

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wheelsName is argument 0 of a process that becomes an installer in the mode
// loader; the others are its command line.
const wheelsName = "kanso-sandbox-wheels"

// wheels turns the process into an installer that can start no other process. An
// installer builds what comes without a wheel, also where it was told to take
// wheels only if a requirement names a file or a URL; that runs code, and nothing
// keeps it from the machine here.
func wheels(args []string) int {
	err := forkNothing()
	if err == nil {
		err = syscall.Exec(args[1], args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "mode loader:", err)
	return exitNoExec
}

// forkNothing keeps this process, and what it becomes, from starting others;
// threads it may have.
func forkNothing() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := threadsOnly()
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// threadsOnly refuses new processes: by EPERM, but clone3, whose arguments cannot
// be seen, as a kernel that does not know it, so that clone is called instead.
func threadsOnly() []unix.SockFilter {
	const nrOffset, archOffset, flagsOffset, otherABI = 0, 4, 16, 1 << 30
	ret := func(what uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what} }
	jump := func(how uint16, k uint32, over uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jf: over}
	}
	no := ret(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: archOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1},
		no,
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nrOffset},
		jump(unix.BPF_JGE, otherABI, 1), no,
	}
	for _, nr := range forkCalls() {
		prog = append(prog, jump(unix.BPF_JEQ, uint32(nr), 1), no)
	}
	return append(prog,
		jump(unix.BPF_JEQ, unix.SYS_CLONE3, 1), ret(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)),
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 3),
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: flagsOffset},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.CLONE_THREAD, Jt: 1},
		no,
		ret(unix.SECCOMP_RET_ALLOW))
}
