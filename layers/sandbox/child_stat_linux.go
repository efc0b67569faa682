package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A user's own command is also shown the owners that are noted: it copies, packs
// and asks for them. Where none is noted the kernel answers itself, so that what
// is no file of the image's is as always.

// errKernel says that the kernel is to carry out a system call itself.
var errKernel = errors.New("the kernel's answer is right")

// continueFlag is SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const continueFlag = 1

// A statCall is a system call that asks for an owner.
type statCall struct {
	call
	buf   uint64
	statx bool
	flags int    // of statx
	mask  uint32 // of statx
}

// commonStat reads the arguments of those that every architecture has.
func commonStat(nr int, a [6]uint64) (statCall, bool) {
	switch nr {
	case unix.SYS_FSTAT:
		return statCall{call: call{dirfd: int(int32(a[0]))}, buf: a[1]}, true
	case sysFstatat:
		return statCall{call: atCall(a[0], a[1], a[3]), buf: a[2]}, true
	case unix.SYS_STATX:
		return statCall{call: atCall(a[0], a[1], a[2]), buf: a[4], statx: true, flags: int(a[2]), mask: uint32(a[3])}, true
	}
	return statCall{}, false
}

func atCall(dirfd, at, flags uint64) call {
	return call{
		hasPath: true, dirfd: int(int32(dirfd)), path: at,
		follow: flags&unix.AT_SYMLINK_NOFOLLOW == 0, empty: flags&unix.AT_EMPTY_PATH != 0,
	}
}

// stat answers a system call about a file whose owner is noted.
func (r *recorder) stat(proc string, req notification, s statCall) error {
	f, err := r.target(proc, s.call)
	if err != nil {
		return errKernel // it says so better
	}
	defer unix.Close(f.fd)
	uid, gid, ok := r.noted(f)
	if !ok {
		return errKernel
	}
	data, err := s.answer(f.fd, uid, gid)
	if err != nil {
		return errKernel
	}
	mem, err := os.OpenFile(filepath.Join(proc, "mem"), os.O_RDWR, 0)
	if err != nil {
		return errKernel
	}
	defer mem.Close()
	if !r.valid(req) {
		return unix.EINTR
	}
	if _, err := mem.WriteAt(data, int64(s.buf)); err != nil {
		return unix.EFAULT
	}
	return nil
}

// answer is what the kernel would write, with the owner that is noted.
func (s statCall) answer(fd, uid, gid int) ([]byte, error) {
	if s.statx {
		var st unix.Statx_t
		err := unix.Statx(fd, "", s.flags&^unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH, int(s.mask), &st)
		st.Uid, st.Gid = uint32(uid), uint32(gid)
		return unsafe.Slice((*byte)(unsafe.Pointer(&st)), unsafe.Sizeof(st)), err
	}
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	st.Uid, st.Gid = uint32(uid), uint32(gid)
	return unsafe.Slice((*byte)(unsafe.Pointer(&st)), unsafe.Sizeof(st)), err
}

// noted is the owner that is noted of a file, if one is.
func (r *recorder) noted(f found) (uid, gid int, ok bool) {
	var buf [64]byte
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", f.fd), ownerXattr, buf[:])
	if err == nil {
		n, _ := fmt.Sscanf(string(buf[:n]), "%d:%d:", &uid, &gid)
		return uid, gid, n == 2
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, 0, false
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFREG || kind == unix.S_IFDIR {
		return 0, 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	below, found := r.below[f.path]
	e, changed := r.table[f.path]
	if !changed {
		e = below
	}
	if e.UID < 0 {
		e.UID = below.UID
	}
	if e.GID < 0 {
		e.GID = below.GID
	}
	return e.UID, e.GID, found || changed
}

// groups writes the groups that the command would have into its memory.
func (r *recorder) groups(proc string, req notification) (int64, error) {
	run := r.t.job.Run
	groups := run.Groups
	if !slices.Contains(groups, run.GID) {
		groups = append([]int{run.GID}, groups...)
	}
	size, at := int(int32(req.Data.Args[0])), int64(req.Data.Args[1])
	if size == 0 {
		return int64(len(groups)), nil
	}
	if size < len(groups) {
		return 0, unix.EINVAL
	}
	f, err := os.OpenFile(filepath.Join(proc, "mem"), os.O_RDWR, 0)
	if err != nil {
		return 0, unix.EFAULT
	}
	defer f.Close()
	if !r.valid(req) {
		return 0, unix.EINTR
	}
	var data []byte
	for _, g := range groups {
		data = binary.NativeEndian.AppendUint32(data, uint32(g))
	}
	if _, err := f.WriteAt(data, at); err != nil {
		return 0, unix.EFAULT
	}
	return int64(len(groups)), nil
}

// readTables reads the owners of what cannot carry attributes: of lower trees, of
// which the topmost counts, and of what is mounted.
func (t *tree) readTables() map[string]ownerEntry {
	all := map[string]ownerEntry{}
	for name, e := range t.sockets {
		all[name] = e
	}
	for _, l := range t.job.Run.Lowers {
		data, err := os.ReadFile(treeTable(l))
		var table map[string]ownerEntry
		if err != nil || json.Unmarshal(data, &table) != nil {
			continue // most trees have none
		}
		for name, e := range table {
			name = strings.TrimPrefix(name, "/")
			if _, ok := all[name]; !ok {
				all[name] = e
			}
		}
	}
	return all
}
