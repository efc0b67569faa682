# shellcheck shell=bash
# Building with Buildah, for comparison: what the scripts that need it share. Source testdata/e2e/lib.sh before it.

need buildah buildah crun
need python3 python3

buildah_() { buildah --storage-driver "${STORAGE_DRIVER:-overlay}" --root "$WORK/buildah/storage" --runroot "$WORK/buildah/run" "$@"; }

# zenml_context PROJECT DIR: ZenML's own build context of it, unpacked, made by the ZenML in the base.
zenml_context() {
	local container
	container=$(buildah_ from --pull-never "$BASE" 2>/dev/null || buildah_ from "$BASE")
	mkdir -p "$2" "$WORK/buildah/out"
	buildah_ run --isolation chroot -v "$1:/tmp/project:ro" -v "$ROOT/testdata/compare:/tmp/compare:ro" -v "$WORK/buildah/out:/tmp/out" \
		"$container" -- env ZENML_CONFIG_PATH=/tmp/zenml ZENML_ANALYTICS_OPT_IN=false ZENML_LOGGING_VERBOSITY=WARN PYTHONDONTWRITEBYTECODE=1 \
		python /tmp/compare/context.py /tmp/project /tmp/out/context.tar >&2
	buildah_ rm "$container" >/dev/null
	tar -xf "$WORK/buildah/out/context.tar" -C "$2"
}

# buildah_build CONTEXT LAYOUT:TAG: its Dockerfile on BASE. The host's CA bundle is lent to the steps, as kanso does; it is
# mounted over the base's own, which is not changed by it.
buildah_build() {
	local bundle=/etc/ssl/certs/ca-certificates.crt
	: >"$WORK/buildah/ignore-nothing"
	sed -e "s#^FROM .*#FROM $BASE#" -e "s#^RUN #RUN export SSL_CERT_FILE=$bundle PIP_CERT=$bundle; #" "$1/Dockerfile" >"$WORK/buildah/Dockerfile"
	buildah_ bud --isolation chroot --ignorefile "$WORK/buildah/ignore-nothing" -v "$bundle:$bundle:ro" --timestamp 0 \
		-f "$WORK/buildah/Dockerfile" -t compare "$1" >&2
	buildah_ push -q compare "oci:$2"
}
