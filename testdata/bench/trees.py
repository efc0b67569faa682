"""What is in pushed images, and whether two hold the same."""
import hashlib
import json
import os
import re
import tarfile
import urllib.request

from project import CHANGED

ACCEPT = ("application/vnd.oci.image.index.v1+json,application/vnd.oci.image.manifest.v1+json,"
          "application/vnd.docker.distribution.manifest.v2+json")
# Files that builders and installers leave as they like, and the ignore file, which ZenML does not put in: not looked at.
ASIDE = re.compile(r"^(tmp|run|proc|sys|dev|root|var/cache|var/log)(/|$)|^app/\.dockerignore$|^etc/(resolv\.conf|hosts|hostname|mtab)$|^\.?$")
# Files that are there in both and may have other bytes: times and hashes of .pyc, and what names the tool.
LOOSE = re.compile(r"\.pyc$|\.dist-info/(RECORD|REQUESTED|INSTALLER|direct_url\.json|uv_cache\.json)$|^app/" + re.escape(CHANGED) + "$")


def manifest(ref):
    host, _, path = ref.partition("/")
    name, _, tag = path.rpartition(":")
    request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{tag}", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request) as r:
        return r.read(), r.headers["Content-Type"]


def retag(ref, tag):
    body, kind = manifest(ref)
    host, _, path = ref.partition("/")
    name = path.rpartition(":")[0]
    request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{tag}", data=body, method="PUT", headers={"Content-Type": kind})
    urllib.request.urlopen(request).read()


class Reader:
    """Reads images, and every layer once."""

    def __init__(self):
        self.layers = {}

    def layer(self, host, name, digest):
        if digest not in self.layers:
            removed, added = [], {}
            with urllib.request.urlopen(f"http://{host}/v2/{name}/blobs/{digest}") as r, tarfile.open(fileobj=r, mode="r|*") as tar:
                for m in tar:
                    path = os.path.normpath(m.name).lstrip("/")
                    parent, leaf = os.path.split(path)
                    if leaf == ".wh..wh..opq":
                        removed.append((parent, False))
                    elif leaf.startswith(".wh."):
                        removed.append((os.path.join(parent, leaf[4:]), True))
                    else:
                        added[path] = self.entry(tar, m, added)
            self.layers[digest] = removed, added
        return self.layers[digest]

    @staticmethod
    def entry(tar, m, added):
        if m.islnk():  # the same file under another name
            return added.get(os.path.normpath(m.linkname).lstrip("/"), ("h", oct(m.mode & 0o7777), m.uid, m.gid, m.linkname, ""))
        digest = ""
        if m.isreg():
            h, f = hashlib.sha256(), tar.extractfile(m)
            while chunk := f.read(1 << 20):
                h.update(chunk)
            digest = h.hexdigest()[:16]
        kind = "-" if m.isreg() else chr(m.type[0])
        return kind, oct(m.mode & 0o7777), m.uid, m.gid, m.linkname, digest

    def tree(self, ref):
        """path -> (type, mode, owner, group, link, hash), as the layers add up."""
        body, _ = manifest(ref)
        data = json.loads(body)
        host, _, path = ref.partition("/")
        name = path.rpartition(":")[0]
        if "manifests" in data:
            with urllib.request.urlopen(urllib.request.Request(
                    f"http://{host}/v2/{name}/manifests/{data['manifests'][0]['digest']}", headers={"Accept": ACCEPT})) as r:
                data = json.load(r)
        tree = {}
        for layer in data["layers"]:
            removed, added = self.layer(host, name, layer["digest"])
            for where, itself in removed:
                for p in [p for p in tree if p.startswith(where + "/") or itself and p == where]:
                    del tree[p]
            tree.update(added)
        return tree

    def differences(self, a, b):
        """What differs between two images, in words; empty if nothing that counts."""
        a, b = self.tree(a), self.tree(b)
        out = []
        for p in sorted(a.keys() | b.keys()):
            if ASIDE.search(p):
                continue
            if p not in a or p not in b:
                out.append(f"{p} is only in the {'second' if p not in a else 'first'}")
            elif a[p] != b[p] and not (LOOSE.search(p) and a[p][:5] == b[p][:5]):
                out.append(f"{p} is {a[p]} and {b[p]}")
        return out
