#!/usr/bin/env python3
"""Compares a base image with what ZenML's own docker/base.Dockerfile gives.

    check.py [--minimal] DIR[:TAG]

Prints each property with what was expected and what was found; ends with 1 if one
differs. Needs nothing but the OCI layout.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import sys
import tarfile

ENVIRONMENT = {
    "PIP_DEFAULT_TIMEOUT": "100", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1",
    "PYTHONUNBUFFERED": "0", "PYTHONFAULTHANDLER": "1", "PYTHONHASHSEED": "random",
    "VIRTUAL_ENV": "/opt/venv", "ZENML_CONTAINER": "1",
}

# What names the machine that made the base, or what its package managers left.
LEFTOVERS = re.compile(
    r"^(etc/(resolv\.conf|hosts|hostname)|etc/apt/apt\.conf\.d/99.*|etc/apt/sources\.list|run/lent.*|"
    r"usr/sbin/policy-rc\.d|usr/local/share/ca-certificates/.+|var/lib/apt/lists/[^p].*|var/cache/apt/.*\.(bin|deb)|"
    r"var/log/.*log|var/log/apt/.+|root/\.cache.*|root/\.local.*|tmp/.+|dev/.+|proc/.+|sys/.+)$")
EMPTY_LOGS = ("var/log/faillog", "var/log/lastlog")
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)


class Base:
    """An OCI layout's image, its layers flattened to what this script asks for."""

    def __init__(self, directory, tag):
        self.blobs = os.path.join(directory, "blobs", "sha256")
        with open(os.path.join(directory, "index.json"), encoding="utf-8") as file:
            manifests = json.load(file)["manifests"]
        chosen = [m for m in manifests if not tag or m["annotations"]["org.opencontainers.image.ref.name"] == tag]
        if len(chosen) != 1:
            sys.exit(f"check.py: {directory} has {len(chosen)} images named {tag or '(any)'}")
        self.tag = chosen[0]["annotations"]["org.opencontainers.image.ref.name"]
        self.manifest = self.read_json(chosen[0]["digest"])
        self.configuration = self.read_json(self.manifest["config"]["digest"])
        self.config = self.configuration["config"]
        self.files = {}
        self.gaps, self.names, self.diff_ids = [], [], []
        for layer in self.manifest["layers"]:
            self.read_layer(layer)

    def read_json(self, digest):
        return json.loads(self.blob(digest))

    def blob(self, digest):
        with open(os.path.join(self.blobs, digest.split(":")[1]), "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != digest.split(":")[1]:
            sys.exit(f"check.py: the blob {digest} has another digest")
        return data

    def read_layer(self, descriptor):
        data = gzip.decompress(self.blob(descriptor["digest"]))
        self.diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        seen = {""}
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for entry in tar:
                directory, name = os.path.split(entry.name)
                if directory not in seen:
                    self.gaps.append(entry.name)
                if entry.uname or entry.gname:
                    self.names.append(entry.name)
                if entry.isdir():
                    seen.add(entry.name)
                if name.startswith(".wh."):
                    self.remove(os.path.join(directory, name[4:]))
                    continue
                content = tar.extractfile(entry).read() if entry.isreg() and wanted(entry) else b""
                self.files[entry.name] = (entry, content)

    def remove(self, path):
        for name in [n for n in self.files if n == path or n.startswith(path + "/")]:
            del self.files[name]

    def text(self, path):
        return self.files[path][1].decode() if path in self.files else "(absent)"


def wanted(entry):
    return entry.size < 1 << 20 and entry.name.startswith(("etc/", "zenml/", "opt/venv/pyvenv.cfg", "usr/share/ca-"))


def properties(base, minimal):
    """Yields (what, expected, got)."""
    config = base.config
    version, _, python = base.tag.rpartition("-py")
    site = f"opt/venv/lib/python{python}/site-packages/"
    yield "platform", "linux/amd64", f"{base.configuration['os']}/{base.configuration['architecture']}"
    yield "user", "", config.get("User", "")
    yield "entry point", None, config.get("Entrypoint")
    yield "command", ["python3"], config.get("Cmd")
    yield "working directory", "/zenml", config.get("WorkingDir")
    variables = dict(item.split("=", 1) for item in config["Env"])
    for key, value in ENVIRONMENT.items():
        yield key, value, variables.get(key)
    yield "PATH begins with", "/opt/venv/bin", variables.get("PATH", "").split(":", maxsplit=1)[0]
    yield "other variables", [], sorted(set(variables) - set(ENVIRONMENT) - {"PATH", "LANG", "GPG_KEY"})
    yield "virtual environment", f"version = {python}", line(base.text("opt/venv/pyvenv.cfg"), "version")[:10 + len(python)]
    yield "made by", "-m venv /opt/venv", line(base.text("opt/venv/pyvenv.cfg"), "command")[-17:]
    for name in ("python", "python3", "pip", "uv"):
        yield f"/opt/venv/bin/{name}", "present", present(base, f"opt/venv/bin/{name}")
    distributions = {}
    for path in base.files:
        match = re.fullmatch(re.escape(site) + r"([^/]+)-([^-/]+)\.dist-info", path)
        if match:
            distributions[normal(match[1])] = match[2]
    yield "zenml", None if minimal else version, distributions.get("zenml")
    frozen = dict(item.split("==") for item in base.text("zenml/requirements.txt").split())
    frozen = {normal(name): value for name, value in frozen.items()}
    listed = {n: v for n, v in distributions.items() if n not in ("pip", "setuptools", "uv", "wheel")}
    yield "/zenml/requirements.txt", f"{len(listed)} distributions as installed", \
        f"{len(set(listed.items()) & set(frozen.items()))} distributions as installed"
    yield "user zenml in /etc/passwd", False, "\nzenml:" in base.text("etc/passwd")
    yield from shape(base)
    yield from cleanliness(base)


def shape(base):
    kinds = {layer["mediaType"].rpartition("+")[2] for layer in base.manifest["layers"]}
    yield "compression", {"gzip"}, kinds
    yield "several layers", True, len(base.manifest["layers"]) > 1
    filled = [h for h in base.configuration["history"] if not h.get("empty_layer")]
    yield "history entries of layers", len(base.manifest["layers"]), len(filled)
    yield "diff ids", base.configuration["rootfs"]["diff_ids"], base.diff_ids
    yield "entries without their parents", [], base.gaps[:5]
    yield "entries with names of owners", [], base.names[:5]
    yield "mode of /tmp", 0o1777, base.files["tmp"][0].mode


def cleanliness(base):
    left = sorted(n for n, (e, _) in base.files.items() if LEFTOVERS.match(n) and not (n in EMPTY_LOGS and not e.size))
    yield "left by the machine", [], left[:8]
    yield "machine id", "", base.text("etc/machine-id")
    lines = base.text("etc/apt/sources.list.d/debian.sources").splitlines()
    addresses = {text.split()[1] for text in lines if text.startswith("URIs:")}
    yield "package sources", {"http://deb.debian.org/debian", "http://deb.debian.org/debian-security"}, addresses
    own = set()
    for path, (_, content) in base.files.items():
        if path.startswith("usr/share/ca-certificates/"):
            own.update(CERTIFICATE.findall(content))
    bundle = set(CERTIFICATE.findall(base.files["etc/ssl/certs/ca-certificates.crt"][1]))
    yield "certificates of authorities", True, len(bundle) > 50
    yield "certificates that Debian does not ship", 0, len(bundle - own)


def line(text, key):
    for item in text.splitlines():
        if item.startswith(key + " ="):
            return item
    return "(absent)"


def present(base, path):
    return "present" if path in base.files else "absent"


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minimal", action="store_true", help="a base made with base.py --minimal")
    parser.add_argument("base", metavar="DIR[:TAG]")
    options = parser.parse_args()
    directory, _, tag = options.base.partition(":")
    base = Base(directory, tag)
    wrong = 0
    for what, expected, got in properties(base, options.minimal):
        good = expected == got
        wrong += not good
        print(f"{'ok  ' if good else 'DIFF'} {what}: {got if good else f'expected {expected!r}, got {got!r}'}")
    print(f"{wrong} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
