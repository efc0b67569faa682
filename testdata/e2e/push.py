"""Pushes an image of an OCI layout to a registry, as it is.

    push.py LAYOUT[:TAG] HOST:PORT REPOSITORY TAG
"""
import json
import pathlib
import sys
import urllib.parse
import urllib.request

place, host, repository, tag = sys.argv[1:]
layout, _, name = place.partition(":")
root = pathlib.Path(layout)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def blob(digest):
    return (root / "blobs" / digest.replace(":", "/")).read_bytes()


def send(method, url, data=b"", kind="application/octet-stream"):
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
    return opener.open(request).headers


index = json.loads((root / "index.json").read_text())["manifests"]
entry = next(e for e in index if not name or e.get("annotations", {}).get("org.opencontainers.image.ref.name") == name)
manifest = json.loads(blob(entry["digest"]))
base = f"http://{host}/v2/{repository}"
for part in [manifest["config"], *manifest["layers"]]:
    place = urllib.parse.urljoin(base, send("POST", f"{base}/blobs/uploads/")["Location"])
    send("PUT", place + "?digest=" + part["digest"], blob(part["digest"]))
send("PUT", f"{base}/manifests/{tag}", blob(entry["digest"]), entry["mediaType"])
print(f"{host}/{repository}@{entry['digest']}")
