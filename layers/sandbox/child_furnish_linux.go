package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// furnish adds what every command finds: processes, devices, the machine's
// names, and what it is lent.
func (t *tree) furnish() error {
	for _, step := range []func() error{t.kernels, t.oneUser, t.mountProc, t.mountSys, t.mountDev} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, f := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if _, err := os.Stat(f); err == nil {
			if err := t.bind(f, f, true); err != nil {
				return err
			}
		}
	}
	mounts := t.job.Run.Mounts
	if t.job.Run.Hostname != "" {
		mounts = slices.Insert(slices.Clone(mounts), 0, t.hosts())
	}
	for i, m := range mounts {
		if err := t.mount(i, m); err != nil {
			return err
		}
	}
	if t.job.Mode == ModeChroot {
		return nil
	}
	name := t.job.Run.Hostname
	if name == "" {
		name = "localhost"
	}
	_ = unix.Sethostname([]byte(name)) // without it the command sees the machine's
	if !t.job.Run.isolated() {
		return nil
	}
	if err := loopback(); err != nil || t.job.Run.Network != NetworkProxy {
		return err
	}
	return forward(t.job.Run.Proxy)
}

// kernels makes the places of the kernel's own file systems. Where the image has
// none they are among the changes, as with every runtime.
func (t *tree) kernels() error {
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if _, err := os.Lstat(filepath.Join(t.root, dir)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := t.mkdirs(filepath.Join(t.root, dir), 0, 0); err != nil {
			return err
		}
		t.kernel = append(t.kernel, dir)
	}
	return nil
}

// oneUser tells apt, where there is one id, that there is no other user to
// become: it checks that it did. The file is none of the changes.
func (t *tree) oneUser() error {
	at, err := t.inside("/etc/apt/apt.conf.d")
	if err != nil || !t.job.One {
		return err
	}
	host := filepath.Join(t.root, at)
	if info, err := os.Stat(host); err != nil || !info.IsDir() {
		return nil //nolint:nilerr // no apt is no error
	}
	t.skip = append(t.skip, path.Join(at, "zz-one-user"))
	return os.WriteFile(filepath.Join(host, "zz-one-user"), []byte("APT::Sandbox::User \"root\";\n"), 0o644) //nolint:gosec // apt reads it as whoever it is
}

// hosts is /etc/hosts for a machine with the command's host name: what the
// command was given comes first, what the machine itself knows last.
func (t *tree) hosts() Mount {
	r := t.job.Run
	lines := []string{"127.0.0.1\tlocalhost " + r.Hostname, "::1\tlocalhost ip6-localhost ip6-loopback"}
	lines = append(lines, r.Hosts...)
	if data, err := os.ReadFile("/etc/hosts"); err == nil && !r.isolated() {
		own, _ := os.Hostname()
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(line, "#")
			names := strings.Fields(line)
			if len(names) > 1 && !slices.Contains(names[1:], "localhost") && !slices.Contains(names[1:], own) {
				lines = append(lines, strings.TrimRight(line, " \t\r\n"))
			}
		}
	}
	return Mount{Kind: MountFile, Target: "/etc/hosts", Data: []byte(strings.Join(lines, "\n") + "\n"), Mode: 0o644}
}

// mountProc gives the command a /proc. With a pid namespace of its own it sees
// only its own processes there.
func (t *tree) mountProc() error {
	host, err := t.point("/proc", true)
	if err != nil || t.job.Mode == ModeChroot {
		return err
	}
	t.proc = "/proc"
	if t.job.PidNS {
		if err := unix.Mount("proc", host, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err == nil {
			t.proc = host
			t.mounts = append(t.mounts, host)
			return protect(host)
		}
	}
	return t.bind("/proc", "/proc", false)
}

// protect makes read-only what root of the machine, whom a user namespace that
// maps 0 to 0 does not change, could set the machine's kernel with.
func protect(proc string) error {
	for _, name := range []string{"sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi"} {
		p := filepath.Join(proc, name)
		if err := unix.Mount(p, p, "", unix.MS_BIND|unix.MS_REC, ""); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("protect /proc/%s: %w", name, err)
		}
		if err := readOnly(p); err != nil {
			return fmt.Errorf("protect /proc/%s: %w", name, err)
		}
	}
	return nil
}

// readOnly makes a mount and those below it read-only (mount_setattr(2)); where
// that cannot be, before Linux 5.12, the mount alone.
func readOnly(p string) error {
	err := unix.MountSetattr(unix.AT_FDCWD, p, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return unix.Mount("", p, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME, "")
	}
	return err
}

func (t *tree) mountSys() error {
	host, err := t.point("/sys", true)
	if err != nil || t.job.Mode == ModeChroot {
		return err
	}
	if err := unix.Mount("/sys", host, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return nil //nolint:nilerr // commands do without
	}
	t.mounts = append(t.mounts, host)
	if err := readOnly(host); err != nil { // with what is mounted below: cgroups
		return fmt.Errorf("mount /sys read-only: %w", err)
	}
	return nil
}

// devices are those that every container has.
func devices() []string { return []string{"null", "zero", "full", "random", "urandom", "tty"} }

// mountDev gives the command a /dev with the usual devices and nothing else.
func (t *tree) mountDev() error {
	dev, err := t.point("/dev", true)
	if err != nil {
		return err
	}
	if t.job.Mode == ModeChroot {
		return t.makeDevices(dev)
	}
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID, "mode=0755,size=65536k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	t.mounts = append(t.mounts, dev)
	for _, d := range devices() {
		f, err := os.OpenFile(filepath.Join(dev, d), os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		f.Close()
		if err := unix.Mount("/dev/"+d, filepath.Join(dev, d), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount /dev/%s: %w", d, err)
		}
	}
	for _, d := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, d), 0o755); err != nil {
			return err
		}
	}
	shm := "mode=1777"
	if size := t.job.Run.ShmSize; size > 0 {
		shm += ",size=" + strconv.FormatInt(size, 10)
	}
	if err := unix.Mount("tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, shm); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	if err := unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err == nil {
		if err := os.Symlink("pts/ptmx", filepath.Join(dev, "ptmx")); err != nil {
			return err
		}
	}
	return links(dev)
}

// links makes the names of open files.
func links(dev string) error {
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// makeDevices makes devices where nothing can be mounted; they are no change.
func (t *tree) makeDevices(dev string) error {
	for _, d := range devices() {
		var st unix.Stat_t
		if err := unix.Stat("/dev/"+d, &st); err != nil {
			continue
		}
		host := filepath.Join(dev, d)
		if err := unix.Mknod(host, st.Mode, int(st.Rdev)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make /dev/%s: %w", d, err)
		}
		if err := unix.Chmod(host, 0o666); err != nil {
			return err
		}
		t.skip = append(t.skip, "/dev/"+d)
	}
	return nil
}

// loopback switches the loopback device on.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("switch on loopback: %w", err)
	}
	return nil
}
