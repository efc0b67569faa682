package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A tree is the root of a command while it is furnished, used and dismantled.
type tree struct {
	job    job
	root   string
	upper  string // of an overlay
	before string // of a copy: the file with its snapshot
	skip   []string
	kernel []string // mount points that are among the changes
	mounts []string // in the order in which they were made
	proc   string   // where this process sees the command's processes
	top    string   // what is on top of lower trees is below it
	// merge copies what stacked trees show into a directory.
	merge   func(lowers []string, dst string) error
	places  []placed              // where nothing can be mounted
	packs   []lentPackages        // package caches that are to be kept
	rights  map[string]right      // modes to be given back
	sockets map[string]ownerEntry // that are mounted
}

// stacked are the directories of an overlay.
type stacked struct {
	lowers            []string // trees
	upper, work, root string
	links             string // is made, for short names
}

// stack mounts the trees as one, with a directory for changes on top.
func (t *tree) stack() error {
	s := t.job.Scratch
	t.root = filepath.Join(s, "root")
	if err := os.Mkdir(t.root, 0o755); err != nil {
		return err
	}
	t.top = s
	if t.job.Mode == ModeTmpfs {
		t.top = filepath.Join(s, "tmpfs")
		if err := os.Mkdir(t.top, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", t.top, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount tmpfs: %w", err)
		}
	}
	t.upper = filepath.Join(t.top, "upper")
	work := filepath.Join(t.top, "work")
	for _, d := range []string{t.upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := t.likeLower(); err != nil {
		return err
	}
	return t.overlay(stacked{t.job.Run.Lowers, t.upper, work, t.root, filepath.Join(s, "l")})
}

// likeLower gives the directory for changes, which is the command's root, the
// mode and owner of the root below.
func (t *tree) likeLower() error {
	if len(t.job.Run.Lowers) == 0 {
		return unix.Chmod(t.upper, 0o755)
	}
	var st unix.Stat_t
	if err := unix.Stat(treeFiles(t.job.Run.Lowers[0]), &st); err != nil {
		return err
	}
	if !t.job.One {
		if err := os.Chown(t.upper, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return unix.Chmod(t.upper, st.Mode&0o7777)
}

// overlay mounts. Short names for the directories keep the options within the
// page that the kernel takes, and free of what kernels read in different ways:
// commas, colons and backslashes.
func (t *tree) overlay(o stacked) error {
	var names []string
	if err := os.Mkdir(o.links, 0o700); err != nil {
		return err
	}
	for name, dir := range map[string]string{"upper": o.upper, "work": o.work} {
		if err := os.Symlink(dir, filepath.Join(o.links, name)); err != nil {
			return err
		}
	}
	for i, l := range o.lowers {
		name := strconv.Itoa(i)
		if err := os.Symlink(treeFiles(l), filepath.Join(o.links, name)); err != nil {
			return err
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		if err := os.Mkdir(filepath.Join(o.links, "0"), 0o755); err != nil {
			return err
		}
		names = []string{"0"}
	}
	return mountOverlay(o.links, o.root, names)
}

// mountOverlay mounts an overlay of the names upper, work and lowers in a
// directory. A name may not have what separates options; the directory's own may.
// It is a volatile one, where the kernel has such (Linux 5.10): else what is
// written to the whole file system, by anybody, is waited for at the end.
func mountOverlay(dir, root string, lowers []string) error {
	was, err := os.Getwd()
	if err != nil {
		was = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	defer os.Chdir(was) //nolint:errcheck // nothing relative is used later
	options := "userxattr,lowerdir=" + strings.Join(lowers, ":") + ",upperdir=upper,workdir=work"
	err = unix.Mount("overlay", root, "overlay", 0, options+",volatile")
	if err != nil {
		err = unix.Mount("overlay", root, "overlay", 0, options)
	}
	if err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return nil
}

// inside returns where a path of the image is on this side, with the links on
// the way followed as the command would.
func (t *tree) inside(p string) (string, error) { return follow(t.root, p) }

// follow returns where a path leads if a directory is the root.
func follow(root, p string) (string, error) {
	todo, at := strings.Split(path.Clean("/"+p), "/"), "/"
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		to, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			at = next
			continue
		}
		if links++; links > 40 {
			return "", fmt.Errorf("%s: too many links", p)
		}
		if path.IsAbs(to) {
			at = "/"
		}
		todo = slices.Concat(strings.Split(to, "/"), todo)
	}
	return at, nil
}

// put writes a file.
func (t *tree) put(f File) error {
	at, err := t.inside(f.Path)
	if err != nil {
		return err
	}
	host := filepath.Join(t.root, at)
	if err := t.mkdirs(filepath.Dir(host), 0, 0); err != nil {
		return err
	}
	if err := os.WriteFile(host, f.Data, 0o600); err != nil {
		return err
	}
	if err := t.give(host, f.UID, f.GID, f.Mode); err != nil {
		return err
	}
	return unix.Chmod(host, f.Mode)
}

// workDir makes the working directory, as the command's user's, if it is
// missing; it is among the changes then.
func (t *tree) workDir() error {
	at, err := t.inside(t.job.Run.Dir)
	if err != nil {
		return err
	}
	return t.mkdirs(filepath.Join(t.root, at), t.job.Run.UID, t.job.Run.GID)
}

// mkdirs makes the directories that are missing on a path, as somebody's.
func (t *tree) mkdirs(host string, uid, gid int) error {
	var missing []string
	for dir := host; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break // if it is no directory, that is said when it is used
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := t.give(dir, uid, gid, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// give gives a file or directory an owner, or notes it where there is one id.
func (t *tree) give(host string, uid, gid int, mode uint32) error {
	if !t.job.One {
		return os.Chown(host, uid, gid)
	}
	if uid == t.job.Run.UID && gid == t.job.Run.GID {
		return nil // as everything that is new
	}
	return unix.Setxattr(host, ownerXattr, fmt.Appendf(nil, "%d:%d:0%o", uid, gid, mode), 0)
}

// point makes the mount point of a file or directory, and notes it.
func (t *tree) point(target string, isDir bool) (string, error) {
	at, err := t.inside(target)
	if err != nil {
		return "", err
	}
	if !slices.Contains(t.kernel, at) {
		t.skip = append(t.skip, at)
	}
	host := filepath.Join(t.root, at)
	if info, err := os.Stat(host); err == nil {
		if info.IsDir() != isDir {
			return "", fmt.Errorf("mount %s: it is not of the same type in the image", target)
		}
		return host, nil
	}
	dir := host
	if !isDir {
		dir = filepath.Dir(host)
	}
	if err := t.mkdirs(dir, 0, 0); err != nil {
		return "", err
	}
	if isDir {
		return host, nil
	}
	f, err := os.OpenFile(host, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	return host, f.Close()
}

// bind mounts something of the machine's into the root.
func (t *tree) bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	host, err := t.point(target, info.IsDir())
	if err != nil {
		return err
	}
	if t.job.Mode == ModeChroot {
		return t.lend(source, host, info)
	}
	if err := unix.Mount(source, host, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	t.mounts = append(t.mounts, host)
	if !readOnly {
		return nil
	}
	// Flags that the source has may not be dropped in a user namespace.
	var st unix.Statfs_t
	if err := unix.Statfs(host, &st); err != nil {
		return err
	}
	flags := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	if err := unix.Mount("", host, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("mount %s read-only: %w", target, err)
	}
	return nil
}

// lend copies a file where nothing can be mounted.
func (t *tree) lend(source, host string, info fs.FileInfo) error {
	if info.IsDir() || !info.Mode().IsRegular() {
		return nil
	}
	r, err := os.Open(source)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(host, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// dismantle unmounts everything, so that what is left is what was changed.
func (t *tree) dismantle() error {
	if err := t.swapBack(); err != nil {
		return err
	}
	for _, m := range slices.Backward(t.mounts) {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount: %w", err)
		}
	}
	if t.upper != "" {
		if err := unix.Unmount(t.root, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount: %w", err)
		}
	}
	if err := t.keepPackages(); err != nil {
		return err
	}
	return t.giveBack()
}

// changes says what a verb is to look at.
func (t *tree) changes() *Changes {
	c := &Changes{Upper: t.upper, ChownTable: t.chownTable(), Skip: t.skip}
	if t.upper == "" {
		c.Root, c.Before = t.root, t.before
	}
	for _, l := range t.job.Run.Lowers {
		c.Lowers, c.Tables = append(c.Lowers, treeFiles(l)), append(c.Tables, treeTable(l))
	}
	return c
}

func (t *tree) chownTable() string { return filepath.Join(t.job.Scratch, "chown.json") }

// keep makes the changes a tree.
func (t *tree) keep(dir string) error {
	if dir == "" || t.upper == "" {
		return nil
	}
	if err := os.Rename(t.upper, treeFiles(dir)); err != nil {
		return fmt.Errorf("keep changes: %w", err)
	}
	err := os.Rename(t.chownTable(), treeTable(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
