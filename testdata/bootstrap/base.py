#!/usr/bin/env python3
"""Makes a base image like zenmldocker/zenml:VERSION-py3.N from Debian and PyPI.

What it does: debootstrap (minbase), apt-get install python3 with pip and venv, a
virtual environment in /opt/venv with pip, uv and zenml, each a layer of its own;
written as an OCI layout DIR with the tag VERSION-py3.N. DIR appears whole or not
at all. If DIR already holds that tag, nothing is done.

What it needs: root (chroot, device nodes), debootstrap, a Debian mirror and a
Python package index as this machine's apt and pip are configured to reach them.

    base.py [--version 0.98.0] [--minimal] [--suite bookworm] [--copy DIR] DIR
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

import layout
import rootfs

ENVIRONMENT = {
    "PIP_DEFAULT_TIMEOUT": "100",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
    "PYTHONUNBUFFERED": "0",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONHASHSEED": "random",
    "VIRTUAL_ENV": "/opt/venv",
    "ZENML_CONTAINER": "1",
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("base.py: making a base needs root (chroot and device nodes);\n"
                 "hint: let root make it once and give ordinary users the layout "
                 "(KANSO_BASE=oci:DIR:TAG)")
    if layout.tags(options.dir):
        print(f"{options.dir} already holds {', '.join(layout.tags(options.dir))}")
    else:
        inside_own_mounts()
        make(options)
    if options.copy:
        copy(options.dir, options.copy)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--version", default="0.98.0", help="ZenML's version")
    parser.add_argument("--minimal", action="store_true", help="no zenml: python, pip and uv only")
    parser.add_argument("--suite", default="bookworm", help="Debian's suite")
    parser.add_argument("--copy", metavar="DIR", help="put a copy there that everybody can read")
    parser.add_argument("dir", metavar="DIR", help="the OCI layout to make")
    return parser.parse_args()


def inside_own_mounts():
    """Goes on in a mount namespace, so that a kill leaves no mount behind."""
    if os.environ.get("KANSO_BOOTSTRAP_MOUNTS") or not shutil.which("unshare"):
        return
    prefix = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run(prefix + ["true"], check=False, stderr=subprocess.DEVNULL).returncode == 0:
        os.environ["KANSO_BOOTSTRAP_MOUNTS"] = "1"
        os.execvp(prefix[0], prefix + [sys.executable] + sys.argv)


def make(options):
    os.umask(0o022)
    parent = os.path.dirname(os.path.abspath(options.dir))
    os.makedirs(parent, exist_ok=True)
    work = tempfile.mkdtemp(prefix=".bootstrap-", dir=parent)
    try:
        image = build(options, work)
        out = os.path.join(work, "layout")
        digest, tag = layout.write(out, image)
        layout.readable(out)
        if os.path.isdir(options.dir) and not os.listdir(options.dir):
            os.rmdir(options.dir)
        os.rename(out, options.dir)
        print(f"{options.dir}:{tag} {digest}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def build(options, work):
    root = rootfs.Root(os.path.join(work, "root"), options.suite)
    recorder = layout.Recorder(root.path, work)
    steps = [
        ("debian", f"debootstrap --variant=minbase {options.suite}", root.debootstrap),
        ("python", "apt-get install python3 python3-pip python3-venv", root.install_python),
        ("venv", "python3 -m venv /opt/venv", lambda: root.install_venv(
            None if options.minimal else options.version, ENVIRONMENT)),
    ]
    for name, title, step in steps:
        begin = time.monotonic()
        step()
        root.clean()
        print(f"{name}: {time.monotonic() - begin:.1f} s", flush=True)
        recorder.layer(title, root.epoch(), root.started)
    begin = time.monotonic()
    recorder.finish()
    print(f"compressing: {time.monotonic() - begin:.1f} s", flush=True)
    kind = "minimal" if options.minimal else options.version
    return layout.Image(
        layers=recorder.layers,
        environment=ENVIRONMENT,
        tag=f"{kind}-py{root.python_version()}",
        architecture=root.architecture(),
        created=root.epoch(),
    )


def copy(source, target):
    if layout.tags(target):
        return
    temporary = target + ".part"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    layout.readable(temporary)
    os.rename(temporary, target)
    print(f"{target}: a copy that everybody can read")


if __name__ == "__main__":
    main()
