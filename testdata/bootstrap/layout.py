"""OCI layouts: recording what changed in a tree as layers, and writing them as an image."""

import concurrent.futures
import dataclasses
import gzip
import hashlib
import json
import os
import stat
import tarfile
import time

CAPABILITY = "security.capability"


@dataclasses.dataclass
class Layer:
    title: str
    tar: str
    blob: str = ""
    diff_id: str = ""
    digest: str = ""
    size: int = 0


@dataclasses.dataclass
class Image:
    layers: list
    environment: dict
    tag: str
    architecture: str
    created: int


class Recorder:
    """Writes a layer with everything that changed in a tree since the layer before."""

    def __init__(self, root, work):
        self.root = root
        self.work = work
        self.layers = []
        self.before = {}

    def layer(self, title, epoch, started):
        now = snapshot(self.root)
        changed = {path for path in now if self.before.get(path) != now[path]}
        # A directory whose only change is its times says nothing, unless it is the parent of a change.
        changed = {path for path in changed if not self.only_times(path, now)}
        removed = {path for path in self.before if path not in now}
        removed = {path for path in removed if os.path.dirname(path) not in removed}
        for path in list(changed | removed):
            while os.path.dirname(path):
                path = os.path.dirname(path)
                changed.add(path)
        self.before = now
        tar = os.path.join(self.work, f"layer{len(self.layers)}.tar")
        write_tar(tar, self.root, changed, removed, epoch, started)
        self.layers.append(Layer(title, tar))

    def only_times(self, path, now):
        old, new = self.before.get(path), now[path]
        return old is not None and stat.S_ISDIR(new[0]) and old[:3] == new[:3]

    def finish(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(compress, self.layers))


def snapshot(root):
    """path -> what changes when the path does; nothing below /dev, /proc and /sys."""
    result = {}
    for directory, names, files in os.walk(root):
        inside = os.path.relpath(directory, root)
        if inside in ("dev", "proc", "sys"):
            names[:] = []
            continue
        for name in names + files:
            path = os.path.normpath(os.path.join(inside, name))
            info = os.lstat(os.path.join(root, path))
            times = () if stat.S_ISDIR(info.st_mode) else (info.st_ino, info.st_ctime_ns, info.st_size)
            result[path] = (info.st_mode, info.st_uid, info.st_gid, *times)
    return result


def write_tar(target, root, changed, removed, epoch, started):
    links = {}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        whiteouts = {os.path.join(os.path.dirname(p), ".wh." + os.path.basename(p)): p for p in removed}
        for path in sorted(changed | set(whiteouts), key=lambda p: p.split("/")):
            if path in whiteouts:
                entry = tarfile.TarInfo(path)
                entry.mode, entry.mtime = 0o644, epoch
                tar.addfile(entry)
                continue
            add(tar, root, path, links, epoch, started)


def add(tar, root, path, links, epoch, started):
    full = os.path.join(root, path)
    info = os.lstat(full)
    if stat.S_ISSOCK(info.st_mode):
        return
    entry = tar.gettarinfo(full, arcname=path)
    entry.uname = entry.gname = ""
    entry.mtime = int(info.st_mtime) if info.st_mtime < started else epoch
    if stat.S_ISREG(info.st_mode):
        # tarfile's own table of links spans layers; ours is of one layer.
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", info.st_size
        if info.st_nlink > 1:
            earlier = links.setdefault((info.st_dev, info.st_ino), path)
            if earlier != path:
                entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, earlier, 0
        for name in os.listxattr(full):
            if name == CAPABILITY or name.startswith("user."):
                value = os.getxattr(full, name)
                entry.pax_headers["SCHILY.xattr." + name] = value.decode("utf-8", "surrogateescape")
    if entry.isreg():
        with open(full, "rb") as file:
            tar.addfile(entry, file)
    else:
        tar.addfile(entry)


def compress(layer):
    """Compresses a layer's tar while hashing both sides, then removes the tar."""
    layer.blob = layer.tar + ".gz"
    plain = hashlib.sha256()
    with open(layer.tar, "rb") as source, open(layer.blob, "wb") as out:
        with gzip.GzipFile("", "wb", 6, out, 0) as packed:
            while block := source.read(1 << 20):
                plain.update(block)
                packed.write(block)
    os.remove(layer.tar)
    layer.diff_id = "sha256:" + plain.hexdigest()
    with open(layer.blob, "rb") as file:
        layer.digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    layer.size = os.path.getsize(layer.blob)


def write(directory, image):
    """Writes an OCI layout; returns the manifest's digest and the tag."""
    blobs = os.path.join(directory, "blobs", "sha256")
    os.makedirs(blobs)
    for layer in image.layers:
        os.rename(layer.blob, os.path.join(blobs, layer.digest[7:]))
    config = put(blobs, configuration(image))
    manifest = put(blobs, {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer.digest,
                    "size": layer.size} for layer in image.layers],
    })
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
             "annotations": {"org.opencontainers.image.ref.name": image.tag},
             "platform": {"architecture": image.architecture, "os": "linux"}}
    save(os.path.join(directory, "index.json"), {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]})
    save(os.path.join(directory, "oci-layout"), {"imageLayoutVersion": "1.0.0"})
    return manifest["digest"], image.tag


def configuration(image):
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(image.created))
    history = [{"created": created, "created_by": layer.title, "comment": "testdata/bootstrap"} for layer in image.layers]
    settings = [f"ENV {key}={value}" for key, value in image.environment.items()] + ["WORKDIR /zenml", 'CMD ["python3"]']
    empty = [{"created": created, "created_by": text, "comment": "testdata/bootstrap", "empty_layer": True}
             for text in settings]
    # As a Dockerfile would have it: the variables before the last step, which uses them.
    history = history[:-1] + empty[:-2] + [empty[-2]] + history[-1:] + [empty[-1]]
    path = [f"{key}={value}" for key, value in image.environment.items()]
    return {
        "architecture": image.architecture, "os": "linux", "created": created,
        "config": {"Env": path, "Cmd": ["python3"], "WorkingDir": "/zenml"},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
        "history": history,
    }


def put(blobs, value):
    data = json.dumps(value, separators=(",", ":")).encode()
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, digest), "wb") as file:
        file.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def save(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def tags(directory):
    """The tags of a layout; none if there is no layout."""
    try:
        with open(os.path.join(directory, "index.json"), encoding="utf-8") as file:
            manifests = json.load(file)["manifests"]
    except FileNotFoundError:
        return []
    return [m["annotations"]["org.opencontainers.image.ref.name"] for m in manifests]


def readable(directory):
    for path, _, files in os.walk(directory):
        os.chmod(path, 0o755)
        for name in files:
            os.chmod(os.path.join(path, name), 0o644)
