package sandbox

import (
	"fmt"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// resources are the limits of setrlimit(2), by the names that Docker has.
func resources() map[string]int {
	return map[string]int{
		"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
		"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE,
		"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
		"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
	}
}

// limit sets a limit for this process and what it becomes.
func limit(l Ulimit) error {
	resource, ok := resources()[l.Name]
	if !ok {
		return fmt.Errorf("ulimit %s: there is no such limit", l.Name)
	}
	now := unix.Rlimit{}
	if err := unix.Getrlimit(resource, &now); err != nil {
		return fmt.Errorf("ulimit %s: %w", l.Name, err)
	}
	want := unix.Rlimit{Cur: bound(l.Soft), Max: bound(l.Hard)}
	if err := unix.Setrlimit(resource, &want); err != nil {
		return fmt.Errorf("ulimit %s=%s:%s: the hard limit is %s here, and only root can raise it: %w",
			l.Name, text(want.Cur), text(want.Max), text(now.Max), err)
	}
	return nil
}

func bound(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64 // RLIM_INFINITY
	}
	return uint64(n)
}

func text(n uint64) string {
	if n == math.MaxUint64 {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
