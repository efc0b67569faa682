package sandbox_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// threadsOnly names the variable by which this test's own process knows that it
// may start no other.
const threadsOnly = "KANSO_TEST_THREADS_ONLY"

// TestAnInstallerOfWheelsStartsNoProcess becomes, as an installer does in the mode
// loader, a process that may have threads and nothing else.
func TestAnInstallerOfWheelsStartsNoProcess(t *testing.T) {
	if os.Getenv(threadsOnly) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Args = []string{"kanso-sandbox-wheels", os.Args[0], "-test.run=^TestAnInstallerOfWheelsStartsNoProcess$", "-test.v"}
		cmd.Env = append(os.Environ(), threadsOnly+"=yes")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var threads sync.WaitGroup
	for range 8 {
		threads.Go(func() { runtime.LockOSThread() }) // each ends with its thread
	}
	threads.Wait()
	if err := exec.CommandContext(t.Context(), "/bin/true").Run(); !errors.Is(err, syscall.EPERM) {
		t.Errorf("another process: %v", err)
	}
}
