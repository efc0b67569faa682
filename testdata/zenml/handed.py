"""Compares what oracle.py wrote with what kanso plan --dockerfile wrote, and ends with 1 if they differ.

    python handed.py ZENML KANSO

Compared are the builds asked for (name, push, options), the generated files byte for byte, the members of the contexts with
modes and contents, and the record: its keys, which share an image, the flags, requirements, versions and, of ZenML 0.98, the
checksums.
"""

import json
import os
import sys


def load(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return json.load(file)


def builds(directory):
    keep = ("image_name", "push", "build_options", "dir")
    return [{k: b[k] for k in keep} for b in load(directory, "builds.json")]


def context(directory, build):
    """Generated files are compared as files, with their text; ZenML rewrites its own configuration while it runs."""
    result = {}
    for m in load(directory, os.path.join(build, "context.json")):
        if m.get("generated") or m["path"] == ".zen/config.yaml":
            m.pop("size", None)
            m.pop("sha256", None)
        result[m["path"]] = m
    return result


def files(directory, build):
    root = os.path.join(directory, build, "files")
    return {name: open(os.path.join(root, name), encoding="utf-8").read() for name in sorted(os.listdir(root))}


def record(directory):
    whole = load(directory, "record.json")
    if whole and whole["zenml_version"] != "0.98.0":
        for item in [whole, *whole["images"].values()]:
            for name in ("checksum", "stack_checksum", "settings_checksum"):
                item.pop(name, None)
    return whole


def differences(what, a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from differences("%s: %s" % (what, key), a.get(key, "(none)"), b.get(key, "(none)"))
    elif a != b:
        yield "%s: ZenML %r, kanso %r" % (what, a, b)


def only_known(a, b):
    """Older versions record less: of kanso's record, what ZenML's has."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {k: only_known(a[k], v) for k, v in b.items() if k in a}
    return b


def main(zenml, kanso):
    asked = builds(zenml)
    found = list(differences("builds", dict(enumerate(asked)), dict(enumerate(builds(kanso)))))
    for build in [b["dir"] for b in asked] if not found else []:
        found += differences(build, files(zenml, build), files(kanso, build))
        found += differences(build + " context", context(zenml, build), context(kanso, build))
    theirs, ours = record(zenml), record(kanso)
    if theirs and ours:
        found += differences("record: keys", sorted(theirs["images"]), sorted(ours["images"]))
        ours = only_known(theirs, ours)
    found += differences("record", theirs, ours)
    for line in found:
        print("  differs: " + line)
    if not asked:
        found.append("nothing")
        print("  ZenML has asked for no build: nothing is compared")
    print("  %d builds, %d files, %d keys compared" % (
        len(asked), sum(len(files(zenml, b["dir"])) for b in asked), len(theirs["images"]) if theirs else 0))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
