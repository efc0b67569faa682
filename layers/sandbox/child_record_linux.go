package sandbox

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/unix"
)

// With one id mapped the kernel refuses every other owner. So a filter stops
// the command where it changes owners, and this side notes the owner and says
// that it was done (seccomp_unotify(2)).

// The requests of a filter's descriptor, and the layout of what passes.
const (
	notifReceive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	notifValid   = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
)

type seccompData struct {
	Nr   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

type notification struct {
	ID    uint64
	PID   uint32
	Flags uint32
	Data  seccompData
}

type response struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// ownerXattr is where owners of files and directories are kept: "uid:gid:0mode".
const ownerXattr = "user.containers.override_stat"

// keptXattr says that a file was given the owner that it had already, as far as
// the command could see: if it took the place of another it has that one's.
const keptXattr = "user.containers.kept_owner"

// installFilter stops this thread, and what it becomes, at changes of owner,
// and hands the filter's descriptor to the recorder.
func installFilter(calls []int) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fd, errno := applyFilter(notifyOf(calls), unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(fdSocket, []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	return unix.Close(fd)
}

// notifyOf stops at system calls of this architecture.
func notifyOf(calls []int) []unix.SockFilter {
	prog := []unix.SockFilter{
		load(atArch), jump(unix.BPF_JEQ, auditArch, 1, 0), answer(unix.SECCOMP_RET_ALLOW), load(atNumber),
	}
	for i, nr := range calls {
		prog = append(prog, jump(unix.BPF_JEQ, uint32(nr), uint8(len(calls)-i), 0))
	}
	return append(prog, answer(unix.SECCOMP_RET_ALLOW), answer(unix.SECCOMP_RET_USER_NOTIF))
}

// A recorder notes owners.
type recorder struct {
	t     *tree
	fd    int
	done  chan struct{}
	mu    sync.Mutex
	table map[string]ownerEntry
	// inodes are those of the table's entries, which may be given other names.
	inodes map[uint64]string
	below  map[string]ownerEntry // what lower trees note
	stop   bool
}

// ownerEntry is a line of the table for what can carry no attribute; -1 is as it
// was before.
type ownerEntry struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// newRecorder receives the filter's descriptor and begins to answer.
func newRecorder(socket *os.File, t *tree) (*recorder, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return nil, errors.Join(errors.New("the filter was not handed over"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	r := &recorder{t: t, fd: fds[0], done: make(chan struct{}), table: map[string]ownerEntry{}, inodes: map[uint64]string{}}
	if t.job.Run.Foreign {
		r.below = t.readTables()
	}
	go r.serve()
	return r, nil
}

// finish ends the recorder and writes the table.
func (r *recorder) finish() error {
	r.mu.Lock()
	r.stop = true
	r.mu.Unlock()
	<-r.done
	unix.Close(r.fd)
	if len(r.table) == 0 {
		return nil
	}
	table := map[string]ownerEntry{}
	for name, e := range r.renamed() {
		table[tableName(name)] = e
	}
	data, err := json.Marshal(table)
	if err != nil {
		return err
	}
	return os.WriteFile(r.t.chownTable(), data, 0o600)
}

// tableName is a path as a name in a JSON object: of one that is not UTF-8 the
// bytes in hexadecimal after a zero, which no path has.
func tableName(p string) string {
	if utf8.ValidString(p) {
		return p
	}
	return "\x00" + hex.EncodeToString([]byte(p))
}

// renamed is the table with the names that entries have now: dpkg changes the
// owner of a new link before it gives it its name.
func (r *recorder) renamed() map[string]ownerEntry {
	root := r.t.upper
	if root == "" {
		root = r.t.root
	}
	now := maps.Clone(r.table)
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be read has no entry
		}
		var st unix.Stat_t
		rel, err := filepath.Rel(root, p)
		if err != nil || unix.Lstat(p, &st) != nil {
			return nil //nolint:nilerr // as above
		}
		if was, ok := r.inodes[st.Ino]; ok && was != rel {
			now[rel] = r.table[was]
			if _, err := os.Lstat(filepath.Join(root, was)); err != nil {
				delete(now, was)
			}
		}
		return nil
	})
	return now
}

// serve answers until nobody is left who could ask.
func (r *recorder) serve() {
	defer close(r.done)
	for {
		p := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 200)
		if err != nil && !errors.Is(err, unix.EINTR) || n > 0 && p[0].Revents&unix.POLLIN == 0 {
			return
		}
		if n > 0 {
			r.serveOne()
			continue
		}
		r.mu.Lock()
		stop := r.stop
		r.mu.Unlock()
		if stop {
			return
		}
	}
}

// serveOne answers the system call that waits.
func (r *recorder) serveOne() {
	var req notification
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(r.fd), notifReceive, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return
	}
	resp := response{ID: req.ID}
	val, err := r.answer(req)
	var errno unix.Errno
	switch {
	case err == nil:
		resp.Val = val
	case errors.Is(err, errKernel):
		resp.Flags = continueFlag
	case errors.As(err, &errno):
		resp.Error = -int32(errno)
	default:
		resp.Error = -int32(unix.EIO)
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(r.fd), notifSend, uintptr(unsafe.Pointer(&resp))) // the asker may be gone
}

// answer does what a system call asks for and returns what it returns.
func (r *recorder) answer(req notification) (int64, error) {
	a := req.Data.Args
	proc := filepath.Join(r.t.proc, strconv.Itoa(int(req.PID)))
	if req.Data.Nr == unix.SYS_GETGROUPS {
		return r.groups(proc, req)
	}
	if s, ok := statArguments(int(req.Data.Nr), a); ok {
		return 0, r.stat(proc, req, s)
	}
	c, ok := ownerCall(int(req.Data.Nr), a)
	if !ok {
		return 0, nil // groups are not changed, and nobody is told
	}
	target, err := r.target(proc, c)
	if err != nil {
		return 0, err
	}
	defer unix.Close(target.fd)
	if !r.valid(req) {
		return 0, unix.EINTR
	}
	return 0, r.record(target, c.uid, c.gid)
}

// valid says whether who asks still waits: the memory that was read may be
// another process's if not.
func (r *recorder) valid(req notification) bool {
	id := req.ID
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(r.fd), notifValid, uintptr(unsafe.Pointer(&id)))
	return errno == 0
}

// target holds the file that a system call is about.
func (r *recorder) target(proc string, c call) (found, error) {
	if !c.hasPath {
		return r.open(proc, c.dirfd)
	}
	p, err := readString(proc, c.path)
	switch {
	case err != nil:
		return found{}, err
	case p != "":
		return r.lookUp(proc, c.dirfd, p, c.follow)
	case c.empty:
		return r.open(proc, c.dirfd)
	}
	return found{}, unix.ENOENT
}

// A call is a system call that changes an owner.
type call struct {
	hasPath, follow, empty bool
	path                   uint64
	dirfd                  int
	uid, gid               uint32
}

// found is a file that is held open by its path only.
type found struct {
	fd   int
	path string // in the image
}

// keepID is the id that changes nothing.
const keepID = ^uint32(0)

// record notes an owner with a file, or in the table.
func (r *recorder) record(f found, uid, gid uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	if !r.allowed(uid, gid) {
		return unix.EPERM
	}
	self := "/proc/self/fd/" + strconv.Itoa(f.fd)
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		// A file of a lower tree is among the changes once it is touched.
		times := []unix.Timespec{st.Atim, st.Mtim}
		if err := unix.UtimesNanoAt(f.fd, "", times, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		e, ok := r.table[f.path]
		if !ok {
			e = ownerEntry{-1, -1}
		}
		r.table[f.path] = ownerEntry{UID: merge(e.UID, uid), GID: merge(e.GID, gid)}
		r.inodes[st.Ino] = f.path
		return nil
	}
	run := r.t.job.Run
	was := ownerEntry{run.UID, run.GID}
	var buf [64]byte
	n, err := unix.Getxattr(self, ownerXattr, buf[:])
	if err == nil {
		_, _ = fmt.Sscanf(string(buf[:n]), "%d:%d:", &was.UID, &was.GID) // a broken one is none
	}
	// Programs that write a file anew give it the owner that they saw, which is
	// root whoever owned it, if they are not shown what is noted.
	if err != nil && !run.Foreign && merge(was.UID, uid) == was.UID && merge(was.GID, gid) == was.GID {
		return unix.Setxattr(self, keptXattr, []byte("y"), 0)
	}
	mode := st.Mode & 0o7777
	if kind == unix.S_IFREG && mode&0o6000 != 0 { // as the kernel does
		mode &^= unix.S_ISUID
		if mode&0o010 != 0 {
			mode &^= unix.S_ISGID
		}
		if err := unix.Chmod(self, mode); err != nil {
			return err
		}
	}
	value := fmt.Sprintf("%d:%d:0%o", merge(was.UID, uid), merge(was.GID, gid), mode)
	return unix.Setxattr(self, ownerXattr, []byte(value), 0)
}

// allowed says whether who runs the command may make somebody the owner: root
// anybody, others nobody but themselves.
func (r *recorder) allowed(uid, gid uint32) bool {
	run := r.t.job.Run
	g := merge(run.GID, gid)
	return run.UID == 0 || merge(run.UID, uid) == run.UID && (g == run.GID || slices.Contains(run.Groups, g))
}

func merge(was int, id uint32) int {
	if id == keepID {
		return was
	}
	return int(id)
}
