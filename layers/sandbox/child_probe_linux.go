package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probe tries everything for real in the scratch directory.
func (c *process) probe() *probed {
	p := &probed{Record: errText(tryRecord())}
	if c.plain() {
		p.Overlay, p.Tmpfs, p.Bind = "there are no namespaces", "there are no namespaces", "there are no namespaces"
		p.Proc = p.Bind
		p.Chroot = errText(c.tryChroot())
		return p
	}
	p.Overlay = errText(tryOverlay(filepath.Join(c.job.Scratch, "o")))
	p.Tmpfs = errText(c.tryTmpfs())
	p.Bind = errText(c.tryBind())
	p.Proc = errText(c.tryProc())
	return p
}

// tryOverlay stacks a directory on another one and deletes a file of the
// lower one.
func tryOverlay(dir string) error {
	for _, d := range []string{dir, dir + "/lower", dir + "/upper", dir + "/work", dir + "/root"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(dir+"/lower/f", nil, 0o600); err != nil {
		return err
	}
	if err := mountOverlay(dir, dir+"/root", []string{"lower"}); err != nil {
		return err
	}
	if err := os.Remove(dir + "/root/f"); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/root/g", nil, 0o600); err != nil {
		return err
	}
	if err := unix.Setxattr(dir+"/root/g", ownerXattr, []byte("1:1:0600"), 0); err != nil {
		return fmt.Errorf("set attribute: %w", err)
	}
	if err := unix.Unmount(dir+"/root", unix.MNT_DETACH); err != nil {
		return err
	}
	return removeAll(dir)
}

func (c *process) tryTmpfs() error {
	dir := filepath.Join(c.job.Scratch, "t")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	err := tryOverlay(filepath.Join(dir, "o"))
	return errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
}

func (c *process) tryBind() error {
	dir := filepath.Join(c.job.Scratch, "b")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return unix.Unmount(dir, unix.MNT_DETACH)
}

func (c *process) tryProc() error {
	if os.Getpid() != 1 {
		return errors.New("no pid namespace")
	}
	dir := filepath.Join(c.job.Scratch, "p")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("proc", dir, "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	return unix.Unmount(dir, unix.MNT_DETACH)
}

// tryChroot changes the root, which this process does not mind: it ends.
func (c *process) tryChroot() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can change its root")
	}
	if err := unix.Mknod(filepath.Join(c.job.Scratch, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return fmt.Errorf("devices: %w", err) // a command has at least this one
	}
	if err := unix.Chroot(c.job.Scratch); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return nil
}

// tryRecord asks whether a filter may hand decisions to another process.
func tryRecord() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
