#!/usr/bin/env python3
"""Compares images as trees and configurations.

    tree.py [--allowed FILE [--some]] [--owners] LEFT RIGHT [LEFT RIGHT]...
    tree.py --show PATH IMAGE...
    tree.py --digest IMAGE...

An image is DIR:TAG, an OCI layout with gzip or plain layers. Compared are path, type, mode, owner, link, content (of a
.pyc what follows its 16-byte header), extended attributes, and of the configuration Env, User, WorkingDir, Entrypoint
and Cmd; with --owners only owners of what both have. Not compared: times, layers, history.

A line of FILE is a regular expression, a tab and a reason; a difference that one matches is allowed. Ends with 1 if
there is another difference or an expression that matches none.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import sys
import tarfile
from collections import namedtuple

Entry = namedtuple("Entry", "type mode owner link content xattrs")
CONFIGURATION = ("Env", "User", "WorkingDir", "Entrypoint", "Cmd")
SHOWN = 60


class Image:
    def __init__(self, name):
        self.directory, _, self.tag = name.rpartition(":")
        index = self.json_file(os.path.join(self.directory, "index.json"))
        found = [m for m in index["manifests"]
                 if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == self.tag]
        if not found:
            sys.exit(f"tree.py: {self.directory} has no tag {self.tag}")
        self.digest = found[-1]["digest"]
        self.manifest = self.blob_json(self.digest)
        self.config = self.blob_json(self.manifest["config"]["digest"])
        self.layers = list(zip(self.config["rootfs"]["diff_ids"], self.manifest["layers"]))

    def blob(self, digest):
        return os.path.join(self.directory, "blobs", *digest.split(":"))

    def blob_json(self, digest):
        return self.json_file(self.blob(digest))

    @staticmethod
    def json_file(name):
        with open(name, encoding="utf-8") as file:
            return json.load(file)

    def tree(self, known):
        """The paths of all layers, the topmost's entry each. known: trees by chain of diff ids."""
        tree, chain = {}, ()
        for diff_id, layer in self.layers:
            chain += (diff_id,)
            if chain not in known:
                known[chain] = apply(dict(tree), self.blob(layer["digest"]))
            tree = known[chain]
        return tree


def apply(tree, blob):
    with open(blob, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    upper = {}
    with (gzip.open if packed else open)(blob, "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            path = os.path.normpath(member.name.lstrip("/"))
            directory, name = os.path.split(path)
            if name == ".wh..wh..opq":
                remove_below(tree, directory)
            elif name.startswith(".wh."):
                gone = os.path.join(directory, name[4:])
                tree.pop(gone, None)
                remove_below(tree, gone)
            elif member.islnk():
                target = os.path.normpath(member.linkname.lstrip("/"))
                upper[path] = upper.get(target) or tree[target]
            else:
                upper[path] = entry(archive, member, path)
    for path, new in upper.items():
        if new.type != "directory" and path in tree and tree[path].type == "directory":
            remove_below(tree, path)
    tree.update(upper)
    tree.pop(".", None)
    return tree


def remove_below(tree, directory):
    for path in [p for p in tree if p.startswith(directory + "/")]:
        del tree[path]


def entry(archive, member, path):
    kinds = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo",
             tarfile.CHRTYPE: "device", tarfile.BLKTYPE: "device"}
    kind = "file" if member.isreg() else kinds.get(member.type, "other")
    content = None
    if kind == "file":
        file = archive.extractfile(member)
        if path.endswith(".pyc"):
            file.read(16)
        content = hashlib.sha256()
        while chunk := file.read(1 << 20):
            content.update(chunk)
        content = content.hexdigest()[:16]
    prefix = "SCHILY.xattr."
    xattrs = {k[len(prefix):]: v for k, v in member.pax_headers.items() if k.startswith(prefix)}
    mode = None if kind == "link" else f"{member.mode & 0o7777:04o}"
    return Entry(kind, mode, f"{member.uid}:{member.gid}", member.linkname if kind == "link" else None, content, xattrs)


def differences(left, right, only_owners, known):
    old, new = left.tree(known), right.tree(known)
    for path in sorted(old.keys() | new.keys()):
        if path not in new or path not in old:
            if not only_owners:
                yield f"{path} only {'left' if path in old else 'right'} {(old.get(path) or new.get(path)).type}"
            continue
        if old[path] is new[path]:
            continue
        for field in ("owner",) if only_owners else Entry._fields:
            a, b = getattr(old[path], field), getattr(new[path], field)
            if a != b:
                yield f"{path} {field} {a} {b}"
    if only_owners:
        return
    for key in CONFIGURATION:
        a, b = (image.config.get("config", {}).get(key) or None for image in (left, right))
        if a != b:
            yield f"configuration {key} {json.dumps(a)} {json.dumps(b)}"


def patterns(name):
    result = []
    if name:
        with open(name, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip() and not line.startswith("#"):
                    expression, tab, reason = line.rstrip("\n").partition("\t")
                    if not tab or not reason.strip():
                        sys.exit(f"{name}:{number}: an expression without a tab and a reason")
                    result.append((re.compile(expression), reason.strip()))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--allowed", metavar="FILE")
    parser.add_argument("--some", action="store_true", help="only some of the images that FILE is for: its expressions may match none")
    parser.add_argument("--owners", action="store_true")
    parser.add_argument("--show", metavar="PATH", help="print that path's entry in each image")
    parser.add_argument("--digest", action="store_true", help="print the digest of each image's manifest")
    parser.add_argument("images", nargs="+", metavar="DIR:TAG")
    options = parser.parse_args()
    if options.show:
        for name in options.images:
            found = Image(name).tree({}).get(options.show)
            print(f"{options.show} {found.type} {found.mode} {found.owner} {found.link or ''}" if found else f"{options.show}: none")
        return
    if options.digest:
        for name in options.images:
            print(Image(name).digest)
        return
    if len(options.images) % 2:
        parser.error("images come in pairs")
    allowed, used, bad, known = patterns(options.allowed), {}, 0, {}
    for left, right in zip(options.images[::2], options.images[1::2]):
        print(f"{left} with {right}")
        known = {chain: tree for chain, tree in known.items() if len(chain) <= 3}
        total = unexpected = 0
        for difference in differences(Image(left), Image(right), options.owners, known):
            total += 1
            matching = [expression.pattern for expression, _ in allowed if expression.search(difference)]
            for pattern in matching:
                used[pattern] = used.get(pattern, 0) + 1
            if not matching:
                unexpected += 1
                if unexpected <= SHOWN:
                    print(f"  {difference}")
        print(f"  {total} differences, {unexpected} of them not allowed")
        bad += unexpected
    for expression, reason in allowed:
        print(f"  allowed {used.get(expression.pattern, 0)} times: {expression.pattern} ({reason})")
        bad += expression.pattern not in used and not options.some
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
