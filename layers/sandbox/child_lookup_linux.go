package sandbox

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readString reads a path from a process's memory.
func readString(proc string, at uint64) (string, error) {
	f, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	var all []byte
	for len(all) < unix.PathMax {
		// Up to the end of the page: the next one may not be there.
		chunk := make([]byte, 4096-(at+uint64(len(all)))%4096)
		n, err := f.ReadAt(chunk, int64(at)+int64(len(all)))
		if i := bytes.IndexByte(chunk[:n], 0); i >= 0 {
			return string(append(all, chunk[:i]...)), nil
		}
		if err != nil {
			return "", unix.EFAULT
		}
		all = append(all, chunk[:n]...)
	}
	return "", unix.ENAMETOOLONG
}

// open holds what a descriptor of a process stands for.
func (r *recorder) open(proc string, fd int) (found, error) {
	name := filepath.Join(proc, "fd", strconv.Itoa(fd))
	if fd == unix.AT_FDCWD {
		name = filepath.Join(proc, "cwd")
	}
	got, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return found{}, unix.EBADF
	}
	link, err := os.Readlink(name)
	if err != nil {
		link = "/"
	}
	return found{got, strings.TrimPrefix(imagePath(link), "/")}, nil
}

// imagePath is a path as the kernel shows it to those who cannot reach it.
func imagePath(link string) string {
	return path.Clean("/" + strings.TrimPrefix(link, "(unreachable)"))
}

// lookUp finds a file as the process would: from its root or the directory of
// a descriptor, and never outside its root.
func (r *recorder) lookUp(proc string, dirfd int, p string, follow bool) (found, error) {
	root, err := unix.Open(filepath.Join(proc, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return found{}, unix.ESRCH
	}
	defer unix.Close(root)
	if !path.IsAbs(p) {
		dir, err := r.open(proc, dirfd)
		if err != nil {
			return found{}, err
		}
		unix.Close(dir.fd)
		p = "/" + dir.path + "/" + p
	}
	// The whole path is looked up from the process's root, which nothing leads
	// out of (openat2(2)).
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat2(root, p, &how)
	if err != nil {
		return found{}, err
	}
	name := strings.TrimPrefix(path.Clean(p), "/")
	if link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil {
		name = strings.TrimPrefix(r.withinRoot(imagePath(link)), "/")
	}
	return found{fd, name}, nil
}

// withinRoot is a path without the place where this side sees the root.
func (r *recorder) withinRoot(p string) string {
	if rest, ok := strings.CutPrefix(p, r.t.root); ok {
		return path.Clean("/" + rest)
	}
	return p
}
