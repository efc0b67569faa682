package sandbox

import (
	"context"
	"errors"
	"os"
	"strings"
)

// Probe tries every way to run commands, for people who want to know what this
// machine allows. What does not work is no error.
func Probe(ctx context.Context, o Options) (Report, error) {
	r := Report{Facts: facts()}
	tried := shapes(o.IDs)
	if o.IDs == "" || o.IDs == IDsAuto {
		tried = append(tried, shapeSubuid)
		if os.Geteuid() == 0 {
			tried = []shape{shapeIdentity, shapeRoot, shapeSingle}
		}
	}
	for _, s := range tried {
		box := &Sandbox{o: o, shape: s}
		got, err := box.probe(ctx)
		r.add(s, got, err)
	}
	if os.Geteuid() == 0 {
		box := &Sandbox{o: o, shape: shapePlain, mode: ModeChroot}
		got, err := box.probe(ctx)
		why := errText(err)
		if got != nil {
			why = got.Chroot
		}
		r.row(ModeChroot, "root", why)
	} else {
		r.row(ModeChroot, "root", "only root can change its root")
	}
	r.row(ModeLoader, "none", errText(attributes(o.Dir)))
	box, err := Open(ctx, o)
	switch {
	case err == nil:
		r.Mode, r.IDs = box.mode, string(box.shape)
	case !errors.Is(err, ErrUnavailable):
		return r, err
	}
	return r, nil
}

// add notes what works with one way to have ids.
func (r *Report) add(s shape, got *probed, err error) {
	if got == nil {
		got = &probed{Overlay: errText(err), Tmpfs: errText(err), Bind: errText(err), Record: errText(err)}
	}
	if s.one() {
		r.Record = got.Record == ""
	}
	r.row(ModeOverlay, string(s), got.Overlay)
	r.row(ModeTmpfs, string(s), got.Tmpfs)
	r.row(ModeCopy, string(s), got.Bind)
}

func (r *Report) row(mode Mode, ids, why string) {
	r.Modes = append(r.Modes, ModeReport{Mode: mode, IDs: ids, OK: why == "", Why: why, Fix: fix(mode, ids, why)})
}

// facts are the settings that decide.
func facts() []Fact {
	var list []Fact
	for _, name := range []string{
		"/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "/proc/sys/kernel/osrelease",
	} {
		list = append(list, Fact{strings.TrimPrefix(name, "/proc/sys/"), setting(name)})
	}
	for _, key := range []string{"Seccomp", "NoNewPrivs", "CapEff"} {
		list = append(list, Fact{key, status(key)})
	}
	text := "usable"
	if err := subordinate(); err != nil {
		text = err.Error()
	}
	return append(list, Fact{"subordinate ids", text})
}

func setting(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return "absent"
	}
	return strings.TrimSpace(string(data))
}

// status is a line of this process's status.
func status(key string) string {
	for line := range strings.Lines(setting("/proc/self/status")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "absent"
}

// fix is what would allow a mode that does not work.
func fix(mode Mode, ids, why string) string {
	namespaces := mode == ModeOverlay || mode == ModeTmpfs || mode == ModeCopy
	switch {
	case why == "":
		return ""
	case ids == "subuid" && subordinate() != nil:
		return "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, and Debian's package uidmap; only for steps that need more than one id"
	case namespaces && setting("/proc/sys/user/max_user_namespaces") == "0":
		return "sysctl user.max_user_namespaces=10000"
	case namespaces && setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
		return "sysctl kernel.unprivileged_userns_clone=1"
	case namespaces && setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for this program with the rule: userns,"
	case (namespaces || mode == ModeChroot) && allowance(thisProcess()) != "":
		return allowance(thisProcess())
	case strings.Contains(why, "overlay"):
		return "a cache directory on another file system than overlayfs: --cache-dir on a volume or an emptyDir"
	case mode == ModeChroot:
		return "running as root with CAP_SYS_CHROOT"
	}
	return ""
}
