#!/usr/bin/env bash
# Proves: a build that installs nothing downloads no layer of its base and needs no user namespaces.
source "$(dirname "$0")/lib.sh"

workspace sourceonly
plain "$WORK/iris"
cd "$WORK/iris"
registry_start "$WORK/registry"

BASE=$(python3 "$ROOT/testdata/e2e/push.py" "${BASE#oci:}" "$REGISTRY" base/zenml 1)

no_layer_read() { # WHAT: no GET of a layer of BASE since forget_requests
	local layer
	for layer in $(python3 - "$REGISTRY" "$BASE" <<'PY'
import json, sys, urllib.request
registry, reference = sys.argv[1:]
repository, digest = reference.removeprefix(registry + "/").split("@")
request = urllib.request.Request(f"http://{registry}/v2/{repository.split(':')[0]}/manifests/{digest}", headers={
    "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"})
print(*(layer["digest"] for layer in json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))["layers"]))
PY
	); do
		same "$1: GET of $layer" 0 "$(requests GET "$layer")"
	done
}

export KANSO_CACHE_DIR=$WORK/cold
forget_requests
build -t "$REGISTRY/team/iris:1" --push
[ "$(requests GET '/manifests/')" -gt 0 ] || fail "the registry's log shows no GET of a manifest"
no_layer_read "cold build"
same "steps that ran" 0 "$(steps_run "$META")"
with=$(digest)

# A namespace in which no further one can be made; what is started in it has no capabilities.
without_namespaces() {
	# shellcheck disable=SC2016 # the inner shell expands them
	unshare --user --map-current-user --keep-caps sh -c '
		echo 0 >/proc/sys/user/max_user_namespaces
		exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs "$@"' - "$@"
}
if without_namespaces unshare --user true 2>/dev/null; then fail "user namespaces are not off"; fi
export KANSO_CACHE_DIR=$WORK/off
forget_requests
REF=$(without_namespaces "$KANSO" build --base "$BASE" --config run.yaml --stack stack.yaml --pipeline training \
	--progress plain -t "$REGISTRY/team/iris:2" --push)
no_layer_read "without user namespaces"
same "digest with and without user namespaces" "$with" "$(digest)"
