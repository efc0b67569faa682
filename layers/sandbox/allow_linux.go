package sandbox

import (
	"os"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"
)

// A LimitedError says that something could not be done since this machine, or the
// container that we are in, does not allow more.
type LimitedError struct {
	Err   error  // why it could not be done
	Allow string // what would allow it, in lines; empty if that is not known
}

func (e *LimitedError) Error() string { return e.Err.Error() }
func (e *LimitedError) Unwrap() error { return e.Err }

// Hint is what would allow it.
func (e *LimitedError) Hint() string { return e.Allow }

// limited adds to an error what would allow more here.
func limited(err error) error { return &LimitedError{err, allowance(thisProcess())} }

// rights are what decides which modes work in a container.
type rights struct {
	root     bool
	filtered bool // by seccomp
	caps     uint64
}

func thisProcess() rights {
	caps, _ := strconv.ParseUint(status("CapEff"), 16, 64) // none if it cannot be read
	return rights{os.Geteuid() == 0, status("Seccomp") == "2", caps}
}

// What would allow more, as it stands in a pod's description.
const (
	allowNamespaces = `a seccomp profile (Docker's default, Kubernetes' RuntimeDefault) forbids user namespaces; in a pod, this allows them:
    securityContext:
      seccompProfile: {type: Unconfined}
  and with docker run: --security-opt seccomp=unconfined`
	allowChroot = `root without capabilities may neither change its root directory nor make user namespaces; in a pod, this allows the first:
    securityContext:
      capabilities: {drop: [ALL], add: [CHOWN, DAC_OVERRIDE, FOWNER, MKNOD, SETGID, SETUID, SYS_CHROOT]}
  and this the second:
    securityContext:
      runAsUser: 1000
      seccompProfile: {type: Unconfined}`
	allowUser = `root without capabilities may not make user namespaces, another user may; in a pod:
    securityContext:
      runAsUser: 1000`
)

// chroots are the capabilities without which root may not change its root directory
// for a command and give it devices.
const chroots = 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_MKNOD

// allowance is what would allow a container more than it may.
func allowance(r rights) string {
	switch {
	case !r.root && r.filtered:
		return allowNamespaces
	case r.root && r.filtered && r.caps&chroots != chroots:
		return allowChroot
	case r.root && r.caps&(1<<unix.CAP_SETFCAP) == 0 && !r.filtered:
		return allowUser
	}
	return ""
}

// wantsBuild says whether output looks as if there had been no wheel, or as if one
// should have been built.
func wantsBuild(output string) bool {
	return regexp.MustCompile(`(?i)no matching distribution found|operation not permitted|build dependencies`).MatchString(output)
}
