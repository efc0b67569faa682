#!/usr/bin/env bash
# Proves the three ways of a Dockerfile in ZenML's settings, with real pip and apt: without one and with nothing to add the base
# is used; a Dockerfile alone makes the image; with more to add there is one image on top, and no other is pushed. With a
# build context root, an ignore file of its own, build arguments and labels from the settings.
source "$(dirname "$0")/lib.sh"

workspace own
registry_start "$WORK/registry"
project=$WORK/iris
plain "$project"
cd "$project"

# The base, where a Dockerfile can name it.
printf 'FROM base\n' >"$WORK/base.Dockerfile"
"$KANSO" build -f "$WORK/base.Dockerfile" --build-context "base=oci-layout://${BASE#oci:}" -t "$REGISTRY/team/base:1" --push --progress plain . \
	2>"$WORK/log" >"$WORK/base.ref" || { cat "$WORK/log"; fail "the base was not pushed"; }
base=$REGISTRY/team/base:1

cat >"$WORK/stack.yaml" <<YAML
stack_name: own
zenml_version: $ZENML
components:
  orchestrator:
  - {name: k, type: orchestrator, flavor: kubernetes, configuration: {}}
  container_registry:
  - {name: r, type: container_registry, flavor: default, configuration: {uri: "$REGISTRY/team"}}
YAML

# own NAME [ARGUMENT...]: builds with settings from stdin; its reference is in REF, its report in META, the image in the layout.
own() {
	local name=$1
	shift
	META=$WORK/$name.json
	{ printf 'settings:\n  docker:\n'; sed 's/^/    /'; } >run.yaml
	forget_requests
	REF=$("$KANSO" build --config run.yaml --stack "$WORK/stack.yaml" --pipeline training --zenml-version "$ZENML" --python "$PYTHON" --push \
		--output "oci:$WORK/$name:1" --lend pip --lend apt --progress plain --metadata-file "$META" "$@" 2>"$WORK/$name.log") ||
		{ cat "$WORK/$name.log"; fail "$name was not built"; }
	IMAGE=oci:$WORK/$name:1
}

# inside COMMAND...: what a command prints in the image.
inside() { "$KANSO" run "$IMAGE" -- "$@"; }

# config EXPRESSION: a value of the image's configuration.
config() {
	python3 - "${IMAGE#oci:}" "$1" <<'PY'
import json, sys
layout = sys.argv[1].rsplit(":", 1)[0]
def blob(d): return json.load(open(layout + "/blobs/" + d["digest"].replace(":", "/"), encoding="utf-8"))
manifest = blob(json.load(open(layout + "/index.json", encoding="utf-8"))["manifests"][0])
print(eval(sys.argv[2], {"c": blob(manifest["config"])["config"]}))
PY
}

# pushed: the tags that the registry has been given, by the log.
pushed() { grep -a -o -E 'PUT /v2/[^ ]*/manifests/[^ ]*' "$REGISTRY_LOG" | sed 's#.*/v2/##; s#/manifests/#:#' | grep -a -v sha256: | sort -u | tr '\n' ' '; }

own base <<YAML
parent_image: $base
install_stack_requirements: false
allow_including_files_in_images: false
YAML
same "the base is used where nothing is to be added" "$(digest)" "$(sed 's/.*@//' "$WORK/base.ref")"
same "and is given the image's name" "$(pushed)" "team/zenml:training-orchestrator "

mkdir -p docker/sub "$WORK/other"
echo wanted >docker/sub/wanted.txt
echo secret >docker/sub/unwanted.log
echo 'sub/*.log' >docker/.dockerignore
printf '**\n!sub/unwanted.log\n' >docker/other.ignore
cat >docker/Dockerfile <<DOCKERFILE
FROM $base AS tools
RUN apt-get update && apt-get install -y --no-install-recommends tree && rm -rf /var/lib/apt/lists/*
FROM $base
ARG VERSION=none
LABEL from=dockerfile version=\$VERSION
RUN pip install --no-cache-dir toolz==\$VERSION
COPY --from=tools /usr/bin/tree /usr/local/bin/
COPY sub /sub/
DOCKERFILE

own only <<YAML
dockerfile: docker/Dockerfile
build_context_root: docker
parent_image_build_config: {build_options: {build_args: {VERSION: 0.12.1}, labels: {team: ml}}}
install_stack_requirements: false
allow_including_files_in_images: false
YAML
same "pip has installed what the build argument says" "$(inside python -c 'import toolz; print(toolz.__version__)')" 0.12.1
inside tree --version | grep '^tree v' >/dev/null || fail "apt's program of the other stage is not there"
holds "a program that apt installed in another stage"
same "the context without what its ignore file names" "$(inside ls /sub)" wanted.txt
same "labels of the Dockerfile and of the settings" "$(config "sorted(c['Labels'].items())")" "[('from', 'dockerfile'), ('team', 'ml'), ('version', '0.12.1')]"
inside test ! -e /app || fail "something was added to the Dockerfile's image"
same "one image and no other is pushed" "$(pushed)" "team/zenml:training-orchestrator "
same "its own steps and no others ran" "$(steps_run "$META")" 2

own more <<YAML
dockerfile: docker/Dockerfile
build_context_root: docker
parent_image_build_config: {build_options: {build_args: {VERSION: 0.12.1}, labels: {team: ml}, squash: true}}
install_stack_requirements: false
allow_download_from_artifact_store: false
requirements: [tabulate==0.9.0]
apt_packages: [tree]
python_package_installer: pip
environment: {STAGE: train}
build_config: {build_options: {labels: {team: ops}}}
YAML
same "what the Dockerfile and the settings install" \
	"$(inside python -c 'import tabulate, toolz; print(tabulate.__version__, toolz.__version__)')" "0.9.0 0.12.1"
inside test -x /usr/bin/tree || fail "apt's package is not there"
inside test -f /app/pipeline.py || fail "the sources are not there"
same "the Dockerfile's environment and the settings'" "$(config "[e for e in c['Env'] if e.startswith('STAGE')]")" "['STAGE=train']"
same "labels of both" "$(config "sorted(c['Labels'].items())")" "[('from', 'dockerfile'), ('team', 'ops'), ('version', '0.12.1')]"
same "one image is pushed, and no intermediate one" "$(pushed)" "team/zenml:training-orchestrator "
same "the Dockerfile's steps come from the cache" "$(steps_run "$META")" 2
grep -q 'squash has no meaning here' "$WORK/more.log" || fail "an option without a meaning is not named"
holds "an option without a meaning is named"

own ignore <<YAML
dockerfile: docker/Dockerfile
build_context_root: docker
parent_image_build_config: {dockerignore: docker/other.ignore, build_options: {build_args: {VERSION: 0.12.1}}}
install_stack_requirements: false
allow_including_files_in_images: false
YAML
same "an ignore file that the settings name takes the place of the context's" "$(inside ls /sub)" unwanted.log

printf 'FROM %s\nCOPY sub /sub\n' "$base" >docker/Dockerfile
printf 'settings:\n  docker:\n    dockerfile: docker/Dockerfile\n    install_stack_requirements: false\n' >run.yaml
if "$KANSO" build --config run.yaml --zenml-version "$ZENML" --python "$PYTHON" 2>"$WORK/none.log"; then fail "a context that is not there had files"; fi
grep -q '^kanso: docker/Dockerfile:2: sub: not found' "$WORK/none.log" || fail "the error does not name line and source: $(cat "$WORK/none.log")"
holds "without a context root there is nothing but the Dockerfile"
