package cache_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kanso-build/kanso/layers/cache"
)

// lockless names the variable by which this test's own process knows that it may
// take the locks away from itself.
const lockless = "KANSO_TEST_LOCKLESS"

// TestWithoutLocks runs as a process whose kernel has no locks for files: flock
// fails with the error that file systems of networks give.
func TestWithoutLocks(t *testing.T) {
	if os.Getenv(lockless) == "" {
		for _, name := range []string{"ENOLCK", "ENOSYS", "ENOTSUP"} {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWithoutLocks$", "-test.v")
			cmd.Env = append(os.Environ(), lockless+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
		return
	}
	withoutLocks(t, map[string]unix.Errno{"ENOLCK": unix.ENOLCK, "ENOSYS": unix.ENOSYS, "ENOTSUP": unix.ENOTSUP}[os.Getenv(lockless)])
	t.Run("nothing of others is removed", nothingOfOthersIsRemoved)
	t.Run("two fill a tree", twoFillATree)
	t.Run("what is used stays", whatIsUsedStays)
}

// withoutLocks makes flock fail in all threads of this process from now on.
func withoutLocks(t *testing.T, with unix.Errno) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_FLOCK},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(with)}, //nolint:gosec // a small number
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}                                                                        //nolint:gosec // four
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))) //nolint:gosec // as seccomp(2) wants it
	if errno != 0 {
		t.Fatal(errno)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); !errors.Is(err, with) { //nolint:gosec // a descriptor
		t.Fatalf("flock: %v", err)
	}
}

func nothingOfOthersIsRemoved(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	o := cache.Options{Now: func() time.Time { return now }}
	d, err := cache.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	mine, forgotten := filepath.Join(d.Scratch(), "mine"), filepath.Join(d.Scratch(), "forgotten")
	if err := errors.Join(os.Mkdir(mine, 0o700), os.Mkdir(forgotten, 0o700), os.Chtimes(forgotten, now, now.Add(-48*time.Hour))); err != nil {
		t.Fatal(err)
	}
	other, err := cache.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("a file of a build that is running: %v", err)
	}
	if _, err := os.Stat(forgotten); err == nil {
		t.Error("what was forgotten long ago is still there")
	}
	closed(t, d)
}

func twoFillATree(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	var both sync.WaitGroup
	both.Add(2)
	chain := put(t, openAt(t, dir, c, 0), "chain")
	var done sync.WaitGroup
	for range 2 {
		done.Go(func() {
			d := openAt(t, dir, c, 0)
			defer d.Close()
			tree, release, err := d.Tree(t.Context(), "set", chain, func(dir string) error {
				both.Done()
				both.Wait() // the other one fills it, too
				return os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if data, err := os.ReadFile(filepath.Join(tree, "f")); err != nil || string(data) != "x" {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
	done.Wait()
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func whatIsUsedStays(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	before := openAt(t, dir, c, 0)
	layer(t, before, "a", 1000)
	layer(t, before, "b", 1000)
	chain, unused := put(t, before, "chain"), put(t, before, "unused")
	fill := func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o600) }
	if _, release, err := before.Tree(t.Context(), "set", unused, fill); err != nil {
		t.Fatal(err)
	} else {
		release()
	}
	closed(t, before)
	running := openAt(t, dir, c, 0)
	defer running.Close()
	_ = has(t, running, "a")
	tree, release, err := running.Tree(t.Context(), "set", chain, fill)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	pruner := openAt(t, dir, c, 0)
	defer pruner.Close()
	if _, err := pruner.Prune(t.Context(), cache.Policy{Keep: 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tree); err != nil || !has(t, pruner, "a") {
		t.Errorf("what a running build uses is gone: %v", err)
	}
	if has(t, pruner, "b") || pruner.HasTree("set", unused) {
		t.Error("what nobody uses is still there")
	}
}
