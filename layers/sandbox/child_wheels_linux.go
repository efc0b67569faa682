package sandbox

import (
	"fmt"
	"os"
	"syscall"

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
	if _, errno := applyFilter(threadsOnly(), unix.SECCOMP_FILTER_FLAG_TSYNC); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// threadsOnly refuses new processes: by EPERM, but clone3, whose arguments cannot
// be seen, as a kernel that does not know it, so that clone is called instead.
func threadsOnly() []unix.SockFilter {
	const otherABI = 1 << 30
	no := refuse(unix.EPERM)
	prog := []unix.SockFilter{
		load(atArch), jump(unix.BPF_JEQ, auditArch, 1, 0), no,
		load(atNumber), jump(unix.BPF_JGE, otherABI, 0, 1), no,
	}
	for _, nr := range forkCalls() {
		prog = append(prog, jump(unix.BPF_JEQ, uint32(nr), 0, 1), no)
	}
	return append(prog,
		jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), refuse(unix.ENOSYS),
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 3),
		load(atArgs), jump(unix.BPF_JSET, unix.CLONE_THREAD, 1, 0), no,
		answer(unix.SECCOMP_RET_ALLOW))
}
