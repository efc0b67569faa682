#!/usr/bin/env bash
# Proves: what kanso pushes and writes is an image for others, too: skopeo and umoci open it, podman loads and runs it.
source "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || fail "needs root, for podman and umoci"
need skopeo skopeo
need umoci umoci
need podman podman crun
workspace others
sample "$WORK/iris"
cd "$WORK/iris"
registry_start "$WORK/registry"
build -t "$REGISTRY/team/iris:1" --push --output "oci:$WORK/layout:1" --output "oci-archive:$WORK/image.oci.tar" --output "docker-archive:$WORK/image.tar"

same "skopeo: digest in the registry" "$(digest)" "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/team/iris:1")"
skopeo copy -q --src-tls-verify=false "docker://$REGISTRY/team/iris:1" "oci:$WORK/copied:1"
holds "skopeo copies it out of the registry"
skopeo inspect "oci-archive:$WORK/image.oci.tar" >/dev/null
skopeo inspect "docker-archive:$WORK/image.tar" >/dev/null
holds "skopeo reads both archives"

umoci stat --image "$WORK/layout:1" >/dev/null
umoci unpack --image "$WORK/layout:1" "$WORK/bundle" >/dev/null 2>&1
[ -f "$WORK/bundle/rootfs/app/run.py" ] || fail "umoci has unpacked no /app/run.py"
holds "umoci unpacks the layout"

python3 - "$WORK/layout" <<'PY'
import gzip, hashlib, json, os, sys
layout = sys.argv[1]
def read(digest):
    with open(os.path.join(layout, "blobs", *digest.split(":")), "rb") as file:
        return file.read()
def check(descriptor):
    data = read(descriptor["digest"])
    assert len(data) == descriptor["size"], descriptor
    assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"], descriptor
    return data
with open(os.path.join(layout, "oci-layout"), encoding="utf-8") as file:
    assert json.load(file)["imageLayoutVersion"] == "1.0.0"
with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
    index = json.load(file)
for descriptor in index["manifests"]:
    manifest = json.loads(check(descriptor))
    config = json.loads(check(manifest["config"]))
    diff_ids = ["sha256:" + hashlib.sha256(gzip.decompress(check(layer))).hexdigest() for layer in manifest["layers"]]
    assert diff_ids == config["rootfs"]["diff_ids"], "diff ids"
    assert len([h for h in config["history"] if not h.get("empty_layer")]) == len(diff_ids), "history"
PY
holds "the layout's digests, sizes, diff ids and history agree"

podman_() { with_cgroup2 podman --storage-driver "${STORAGE_DRIVER:-overlay}" --root "$WORK/podman/storage" --runroot "$WORK/podman/run" --cgroup-manager cgroupfs --events-backend file "$@"; }
name=$(podman_ load -q -i "$WORK/image.tar" | sed -n 's/^Loaded image[^:]*: *//p')
[ -n "$name" ] || fail "podman has loaded no image"
run_it() { podman_ run --rm --runtime crun --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host --env ZENML_ANALYTICS_OPT_IN=false "$name" "$@"; }
run_it python -c 'import sklearn; print("sklearn", sklearn.__version__)'
run_it python run.py
holds "podman runs $name: sklearn is imported, the pipeline runs"
podman_ rmi -a -f >/dev/null
