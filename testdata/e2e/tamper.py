#!/usr/bin/env python3
"""Pushes an image of a registry under another tag, with one byte of one file changed and everything else matching:
tamper.py HOST REPOSITORY TAG NEW PATH"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
import urllib.request


def request(method, url, data=None, kind=None):
    r = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind} if kind else {})
    r.add_header("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
    return urllib.request.urlopen(r)


def main(host, repository, tag, new, path):
    base = f"http://{host}/v2/{repository}"

    def blob(d):
        return request("GET", f"{base}/blobs/{d['digest']}").read()

    def put(data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = request("POST", f"{base}/blobs/uploads/").headers["Location"]
        request("PUT", f"http://{host}{place}?digest={digest}", data, "application/octet-stream")
        return digest

    answer = request("GET", f"{base}/manifests/{tag}")
    kind, manifest = answer.headers["Content-Type"], json.load(answer)
    config = json.loads(blob(manifest["config"]))
    changed = 0
    for i, layer in enumerate(manifest["layers"]):
        data = gzip.decompress(blob(layer))
        with tarfile.open(fileobj=io.BytesIO(data)) as t:
            found = [m for m in t if m.isreg() and m.name == path]
        if not found:
            continue
        at = found[0].offset_data + found[0].size // 2
        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        changed += 1
        config["rootfs"]["diff_ids"][i] = "sha256:" + hashlib.sha256(data).hexdigest()
        packed = gzip.compress(data, mtime=0)
        layer["digest"], layer["size"] = put(packed), len(packed)
    if changed != 1:
        sys.exit(f"{changed} layers have {path}")
    data = json.dumps(config).encode()
    manifest["config"]["digest"], manifest["config"]["size"] = put(data), len(data)
    request("PUT", f"{base}/manifests/{new}", json.dumps(manifest).encode(), kind)


main(*sys.argv[1:])
