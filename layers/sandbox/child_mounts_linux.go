package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// mount makes the mount with a number.
func (t *tree) mount(i int, m Mount) error {
	switch m.Kind {
	case MountHost:
		return t.bind(m.Source, m.Target, m.ReadOnly)
	case MountTmpfs:
		return t.tmpfs(m)
	case MountPackages:
		return t.packages(i, m)
	}
	source, err := t.source(i, m)
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	if t.job.Mode != ModeChroot {
		return t.bind(source, m.Target, m.ReadOnly || m.Kind == MountFile)
	}
	return t.place(i, m, source)
}

// source makes what a mount shows and returns where it is on this side.
func (t *tree) source(i int, m Mount) (string, error) {
	dir := filepath.Join(t.job.Scratch, "m"+strconv.Itoa(i))
	switch m.Kind {
	case MountFile:
		return t.memory(i, m)
	case MountTrees:
		root, err := t.show(dir, m.Lowers)
		if err != nil {
			return "", err
		}
		return t.within(root, m.Path)
	case MountCache:
		return t.cache(dir, m)
	}
	source, err := t.within(m.Source, m.Path)
	if err != nil || m.Mode == 0 {
		return source, err
	}
	m.Mode = t.seen(m.Mode, m.UID, m.GID)
	return source, t.own(source, m)
}

// within returns where a path below a directory of the command's own leads, with
// what it sees of it.
func (t *tree) within(root, p string) (string, error) {
	source, err := within(root, p)
	if err == nil {
		_, err = t.restrict(source)
	}
	return source, err
}

// within returns where a path below a directory leads, if there is something.
func within(root, p string) (string, error) {
	at, err := follow(root, p)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(filepath.Join(root, at)); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %q in what is to be mounted", p)
	} else if err != nil {
		return "", err
	}
	return filepath.Join(root, at), nil
}

// show stacks trees in a directory; what is written there stays there.
func (t *tree) show(dir string, lowers []string) (string, error) {
	if t.upper == "" {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		return dir, t.merge(lowers, dir)
	}
	root, upper := filepath.Join(dir, "root"), t.shown(dir)
	top := filepath.Dir(upper)
	work := filepath.Join(top, "work")
	for _, d := range []string{dir, root, top, upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	if err := t.overlay(stacked{lowers: lowers, upper: upper, work: work, root: root, links: filepath.Join(dir, "l")}); err != nil {
		return "", err
	}
	t.mounts = append(t.mounts, root)
	return root, nil
}

// shown is where what is written to what is shown in a directory goes.
func (t *tree) shown(dir string) string {
	return filepath.Join(t.top, filepath.Base(dir)+"-top", "upper")
}

// cache returns the directory of a cache. It is made elsewhere and renamed, so
// that of several who make it at once the first one wins, whole.
func (t *tree) cache(dir string, m Mount) (string, error) {
	final := filepath.Join(m.Source, "fs")
	if _, err := os.Lstat(final); err == nil && t.job.Mode != ModeChroot {
		return final, nil
	} else if err == nil {
		taken := filepath.Join(m.Source, strconv.Itoa(os.Getpid()))
		if os.Rename(final, taken) == nil {
			return taken, nil // it is the command's alone for that time
		}
	}
	temp, err := os.MkdirTemp(m.Source, "new-")
	if err != nil {
		return "", err
	}
	made := filepath.Join(temp, "fs")
	if err := t.fill(dir, made, m); err != nil {
		return "", err
	}
	if t.job.Mode == ModeChroot {
		return made, nil
	}
	err = os.Rename(made, final)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return "", err
	}
	return final, removeAll(temp)
}

// fill makes the directory that a cache begins with.
func (t *tree) fill(dir, made string, m Mount) error {
	if len(m.Lowers) == 0 && m.Path == "" {
		if err := os.Mkdir(made, 0o755); err != nil {
			return err
		}
		return t.own(made, m)
	}
	all := dir + "-all"
	if err := os.Mkdir(all, 0o755); err != nil {
		return err
	}
	if err := t.merge(m.Lowers, all); err != nil {
		return err
	}
	from, err := within(all, m.Path)
	if err != nil {
		return err
	}
	return os.Rename(from, made)
}

// own gives something of the command's its owner and mode.
func (t *tree) own(file string, m Mount) error {
	if !t.job.One {
		if err := os.Lchown(file, m.UID, m.GID); err != nil {
			return err
		}
		return unix.Chmod(file, m.Mode)
	}
	err := unix.Lsetxattr(file, ownerXattr, fmt.Appendf(nil, "%d:%d:0%o", m.UID, m.GID, m.Mode), 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) { // as with sockets, and tmpfs before Linux 6.6
		if at, err := t.inside(m.Target); err == nil {
			t.sockets[at[1:]] = ownerEntry{m.UID, m.GID}
		}
	} else if err != nil {
		return err
	}
	return unix.Chmod(file, m.Mode)
}

// memory makes a file that never is on a disk, unless nothing can be mounted.
func (t *tree) memory(i int, m Mount) (string, error) {
	dir := filepath.Join(t.job.Scratch, "memory")
	if err := os.Mkdir(dir, 0o700); err == nil && t.job.Mode != ModeChroot {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
			return "", err
		}
		t.mounts = append(t.mounts, dir)
	} else if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	file := filepath.Join(dir, strconv.Itoa(i))
	if err := os.WriteFile(file, m.Data, 0o600); err != nil {
		return "", err
	}
	m.Mode = t.seen(m.Mode, m.UID, m.GID)
	return file, t.own(file, m)
}

// tmpfs mounts an empty directory in memory, with the mode of the image's own
// or else that of /tmp.
func (t *tree) tmpfs(m Mount) error {
	mode := uint32(0o1777)
	if at, err := t.inside(m.Target); err == nil {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(t.root, at), &st) == nil {
			mode = st.Mode & 0o7777
		}
	}
	host, err := t.point(m.Target, true)
	if err != nil {
		return err
	}
	if t.job.Mode == ModeChroot {
		dir, err := os.MkdirTemp(t.job.Scratch, "tmpfs-")
		if err != nil {
			return err
		}
		if err := unix.Chmod(dir, mode); err != nil {
			return err
		}
		return t.swap(dir, host, "")
	}
	o := fmt.Sprintf("mode=%04o", mode)
	if m.Size > 0 {
		o += ",size=" + strconv.FormatInt(m.Size, 10)
	}
	flags := uintptr(unix.MS_NOSUID)
	if m.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("tmpfs", host, "tmpfs", flags, o); err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	t.mounts = append(t.mounts, host)
	return nil
}

// place puts something into the copy, where nothing can be mounted: it takes
// the place of what the image has there, which is not among the changes.
func (t *tree) place(i int, m Mount, source string) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	host, err := t.point(m.Target, info.IsDir())
	if err != nil {
		return err
	}
	if m.Kind == MountCopy && info.Mode()&fs.ModeSocket != 0 {
		linked := filepath.Join(t.job.Scratch, "socket-"+strconv.Itoa(i))
		if err := os.Link(source, linked); err != nil {
			return err
		}
		source = linked
	}
	home := ""
	if m.Kind == MountCache {
		home = filepath.Join(m.Source, "fs")
	}
	return t.swap(source, host, home)
}

// placed is what stands in the place of something of the image.
type placed struct {
	host  string // the place
	aside string // where what was there is meanwhile
	home  string // where it has to be afterwards; empty if it is of no use then
}

// swap moves what is at a place aside and something else there.
func (t *tree) swap(source, host, home string) error {
	aside, err := os.MkdirTemp(t.job.Scratch, "aside-")
	if err != nil {
		return err
	}
	p := placed{host, filepath.Join(aside, "was"), home}
	if err := os.Rename(host, p.aside); err != nil {
		return err
	}
	t.places = append(t.places, p)
	return os.Rename(source, host)
}

// swapBack undoes that. A cache goes home; if somebody else's is there by now
// it goes like everything else.
func (t *tree) swapBack() error {
	for _, p := range slices.Backward(t.places) {
		if p.home != "" {
			err := os.Rename(p.host, p.home)
			if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTEMPTY) {
				return fmt.Errorf("keep cache: %w", err)
			}
		}
		if err := removeAll(p.host); err != nil {
			return err
		}
		if err := os.Rename(p.aside, p.host); err != nil {
			return err
		}
	}
	return nil
}
