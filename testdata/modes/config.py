#!/usr/bin/env python3
"""Writes the OCI runtime configuration of a container as Docker starts one by default, but for the network (the host's).

    config.py --profile default.json --rootfs DIR --uid N [--capabilities NAME,...] [--unconfined] [--no-new-privileges] [--bind SRC:DST[:ro]]... [--env K=V]...
        --cwd DIR -- COMMAND...  > config.json

profile is Docker's own default seccomp profile (github.com/moby/profiles/seccomp); its conditions on capabilities,
architecture and kernel are decided here, as dockerd decides them.
"""

import argparse
import json
import os
import platform
import re
import sys

# What dockerd gives a container: oci/caps/defaults.go, oci/defaults.go.
CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE")]
MASKED = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
          "/sys/devices/virtual/powercap"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
MOUNTS = [
    ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
    ("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
]


def seccomp(profile, capabilities):
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    kernel = tuple(map(int, re.match(r"(\d+)\.(\d+)", platform.release()).groups()))
    native = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}[machine]

    def applies(rule):
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        minimum = wanted.get("minKernel")
        return ((not wanted.get("arches") or machine in wanted["arches"])
                and all(c in capabilities for c in wanted.get("caps") or [])
                and (not minimum or kernel >= tuple(map(int, minimum.split("."))))
                and machine not in (unwanted.get("arches") or [])
                and not any(c in capabilities for c in unwanted.get("caps") or []))

    rules = []
    for rule in filter(applies, profile["syscalls"]):
        rules.append({key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key) is not None})
    architectures = [native]
    for entry in profile.get("archMap") or []:
        if entry["architecture"] == native:
            architectures += entry.get("subArchitectures") or []
    result = {"defaultAction": profile["defaultAction"], "architectures": architectures, "syscalls": rules}
    if profile.get("defaultErrnoRet") is not None:
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return result


def configuration(options):
    with open(options.profile, encoding="utf-8") as file:
        profile = json.load(file)
    bounding = CAPABILITIES if options.capabilities is None else ["CAP_" + n for n in options.capabilities.split(",") if n]
    effective = bounding if options.uid == 0 else []
    mounts = [{"destination": d, "type": t, "source": s, "options": o} for d, t, s, o in MOUNTS]
    for bind in options.bind:
        source, destination, *read_only = bind.split(":")
        mounts.append({"destination": destination, "type": "bind", "source": os.path.abspath(source),
                       "options": ["rbind", "rprivate"] + read_only})
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False, "user": {"uid": options.uid, "gid": options.uid}, "args": options.command,
            "env": options.env, "cwd": options.cwd, "noNewPrivileges": options.no_new_privileges,
            "capabilities": {"bounding": bounding, "effective": effective, "permitted": effective},
        },
        "root": {"path": os.path.abspath(options.rootfs), "readonly": False},
        "hostname": "container",
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": MASKED, "readonlyPaths": READ_ONLY,
            **({} if options.unconfined else {"seccomp": seccomp(profile, bounding)}),
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", required=True)
    parser.add_argument("--rootfs", required=True)
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--capabilities", help="these only; none if it is empty, as docker run --cap-drop ALL")
    parser.add_argument("--unconfined", action="store_true", help="no seccomp profile, as a pod has that asks for none")
    parser.add_argument("--no-new-privileges", action="store_true", help="as allowPrivilegeEscalation: false")
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--cwd", default="/")
    parser.add_argument("command", nargs="+")
    json.dump(configuration(parser.parse_args()), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
