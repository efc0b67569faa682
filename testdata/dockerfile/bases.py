#!/usr/bin/env python3
"""Writes the bases of the cases in this directory as one OCI layout: bases.py OUT BUSYBOX.

    busybox    programs, users, a temporary directory
    usrmerge   the same with /bin, /sbin and /lib as links into /usr
    rich       busybox and two layers more: hard links, extended attributes, whiteouts, owners; every setting is there
    onbuild    busybox with triggers
    onbuild2   busybox with a trigger that is a whole stage's work, and an empty one of SHELL
    bare       nothing but /bin/busybox, no configuration at all
    multi      an index of linux/amd64 (busybox) and linux/arm64 (one file)

They depend on BUSYBOX, a static one, and on nothing else.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CREATED = "2020-01-01T00:00:00Z"
EPOCH = 1577836800
PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www:/var/www:/bin/false
tester:x:1000:1000:A Tester:/home/tester:/bin/sh
other:x:1001:2000::/:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = """root:x:0:
daemon:x:1:
www-data:x:33:tester
tester:x:1000:
team:x:2000:tester,other
extra:x:3000:tester
nogroup:x:65534:
"""
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep


class Layer:
    """A tar in memory."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind, mode, data=b"", link="", owner=(0, 0), xattrs=()):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.mtime = kind, mode, link, EPOCH
        entry.uid, entry.gid = owner
        entry.size = len(data)
        for key, value in xattrs:
            entry.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        self.tar.addfile(entry, io.BytesIO(data))

    def dir(self, name, mode=0o755, **more):
        self.add(name, tarfile.DIRTYPE, mode, **more)

    def file(self, name, data, mode=0o644, **more):
        self.add(name, tarfile.REGTYPE, mode, data if isinstance(data, bytes) else data.encode(), **more)

    def link(self, name, target):
        self.add(name, tarfile.SYMTYPE, 0o777, link=target)

    def hard(self, name, target, **more):
        self.add(name, tarfile.LNKTYPE, 0o644, link=target, **more)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def system(busybox, merged):
    layer = Layer()
    home = "usr/" if merged else ""
    with open(busybox, "rb") as file:
        program = file.read()
    for name in ("dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "usr/lib", "usr/local", "usr/local/bin", "usr/sbin", "var", "var/log"):
        layer.dir(name)
    for name in ("bin", "lib", "sbin"):
        layer.link(name, "usr/" + name) if merged else layer.dir(name)
    layer.dir("home/tester", 0o750, owner=(1000, 1000))
    layer.dir("root", 0o700)
    layer.dir("tmp", 0o1777)
    layer.file("etc/passwd", PASSWD)
    layer.file("etc/group", GROUP)
    layer.file(home + "bin/busybox", program, 0o755)
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in sorted(set(names) - {"busybox", "linuxrc"}):
        layer.link(f"{home}bin/{name}", "busybox")
    return layer.bytes()


def bare(busybox):
    layer = Layer()
    layer.dir("bin")
    with open(busybox, "rb") as file:
        layer.file("bin/busybox", file.read(), 0o755)
    layer.link("bin/sh", "busybox")
    return layer.bytes()


def rich():
    lower, upper = Layer(), Layer()
    for name in ("data", "data/hidden", "data/hidden/deep", "data/kept", "srv"):
        lower.dir(name)
    lower.dir("job", 0o755, owner=(1000, 2000))
    lower.dir("data/setgid", 0o2775, owner=(0, 2000))
    lower.file("data/first", "one inode\n", owner=(1000, 1000))
    lower.hard("data/second", "data/first", owner=(1000, 1000))
    lower.hard("data/kept/third", "data/first", owner=(1000, 1000))
    lower.file("data/gone", "gone\n")
    lower.file("data/hidden/old", "old\n")
    lower.file("data/hidden/deep/old", "old\n")
    lower.file("data/attributes", "attributes\n", xattrs=[("user.kanso", b"yes"), ("user.other", b"a b")])
    lower.file("data/capable", "capable\n", 0o755, xattrs=[("security.capability", CAPABILITY)])
    lower.file("data/setuid", "setuid\n", 0o4755)
    lower.add("data/fifo", tarfile.FIFOTYPE, 0o600)
    lower.link("data/link", "first")
    lower.link("srv/absolute", "/data")
    lower.link("srv/dangling", "/no/such")
    upper.dir("data")
    upper.file("data/.wh.gone", "")
    upper.dir("data/hidden", 0o711)
    upper.file("data/hidden/.wh..wh..opq", "")
    upper.file("data/hidden/new", "new\n")
    return [lower.bytes(), upper.bytes()]


def foreign():
    layer = Layer()
    layer.file("arm64", "a file of arm64\n")
    return layer.bytes()


class Layout:
    def __init__(self, directory):
        self.directory = directory
        self.blobs = os.path.join(directory, "blobs", "sha256")
        self.manifests = []
        os.makedirs(self.blobs)

    def put(self, data):
        if not isinstance(data, bytes):
            data = json.dumps(data, separators=(",", ":")).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as file:
            file.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def image(self, layers, config, arch="amd64", **more):
        ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        about = {"created": CREATED, "architecture": arch, "os": "linux", **more, "config": config,
                 "rootfs": {"type": "layers", "diff_ids": ids},
                 "history": [{"created": CREATED, "created_by": f"base {number}"} for number in range(len(layers))]}
        return {"mediaType": "application/vnd.oci.image.manifest.v1+json", **self.put({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.put(about)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                        **self.put(gzip.compress(layer, 6, mtime=0))} for layer in layers]})}

    def tag(self, name, manifest):
        self.manifests.append({**manifest, "annotations": {"org.opencontainers.image.ref.name": name}})

    def index(self, manifests):
        kind = "application/vnd.oci.image.index.v1+json"
        return {"mediaType": kind, **self.put({"schemaVersion": 2, "mediaType": kind, "manifests": manifests})}

    def finish(self):
        for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}),
                            ("index.json", {"schemaVersion": 2, "manifests": self.manifests})):
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
                json.dump(value, file)


def main(out, busybox):
    layout = Layout(out)
    plain = system(busybox, False)
    shell = {"Env": [PATH], "Cmd": ["sh"]}
    image = layout.image([plain], shell)
    layout.tag("busybox", image)
    layout.tag("usrmerge", layout.image([system(busybox, True)], {"Env": [PATH, "LANG=C.UTF-8"], "Cmd": ["sh"]}))
    layout.tag("rich", layout.image([plain, *rich()], {
        "Env": [PATH, "GREETING=hello", "EMPTY="], "User": "tester", "WorkingDir": "/job", "Entrypoint": ["/bin/echo"],
        "Cmd": ["from", "rich"], "Labels": {"base": "rich", "kept": "yes"}, "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/srv/volume": {}}, "StopSignal": "SIGQUIT"}, author="Base Author"))
    layout.tag("settings", layout.image([plain], {
        **shell, "Shell": ["/bin/ash", "-ec"], "Entrypoint": ["/bin/true"],
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 3}}))
    layout.tag("onbuild", layout.image([plain], {
        **shell, "OnBuild": ["COPY app /app/", "RUN echo \"built $WHO\" >/onbuild", "ENV TRIGGERED=yes"]}))
    layout.tag("onbuild2", layout.image([plain], {
        **shell, "OnBuild": ["ARG WHO=nobody", "RUN echo $WHO >/who", "WORKDIR /triggered", "USER tester"]}))
    layout.tag("bare", layout.image([bare(busybox)], {}))
    arm = layout.image([foreign()], {"Env": [PATH, "ARCH=arm64"]}, "arm64", variant="v8")
    layout.tag("multi", layout.index([
        {**image, "platform": {"os": "linux", "architecture": "amd64"}},
        {**arm, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}]))
    layout.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
