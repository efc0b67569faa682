#!/usr/bin/env bash
# The quickstart: an image of the sample pipeline, built, pushed to a registry, exported, and run, without Docker.
# Everything it makes is in .quickstart (QUICKSTART_DIR), which is kept: a second run has nothing to do.
source "$(dirname "$0")/e2e/lib.sh"

dir=${QUICKSTART_DIR:-$ROOT/.quickstart}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
trap cleanup EXIT
export KANSO_CACHE_DIR=$dir/cache
META=$dir/metadata.json
export REGISTRY_LOG=$dir/registry.log

timed() { # WHAT COMMAND...
	local what=$1 started ended
	shift
	started=$(date +%s%N)
	"$@"
	ended=$(date +%s%N)
	times+=("$(printf '%8.1f s  %s' "$(((ended - started) / 1000000))e-3" "$what")")
}
times=()

need python3 python3
rm -rf "$dir/project"
sample "$dir/project"
cd "$dir/project" || exit

say "== the base"
published=docker.io/zenmldocker/zenml:$ZENML-py$PYTHON
if [ -z "${KANSO_BASE:-}" ] && [ ! -f "$CACHE/base/index.json" ]; then
	if timeout 30 "$KANSO" plan --base "$published" --config run.yaml --stack stack.yaml --pipeline training >/dev/null 2>&1; then
		BASE=$published
	else
		say "Docker Hub does not answer; making a base like ZenML's from Debian's packages and PyPI, once (a minute or two)"
		timed "make a base" "$ROOT/testdata/e2e/base.sh"
	fi
fi
case $BASE in
oci:*)
	say "$BASE, compared with ZenML's own docker/base.Dockerfile:"
	layout=${BASE#oci:}
	PYTHONDONTWRITEBYTECODE=1 python3 "$ROOT/testdata/bootstrap/check.py" "$layout"
	;;
*) say "$BASE" ;;
esac

say "== build, push, export"
registry_start "$dir/registry"
forget_requests
timed "build, push, export" build -t "$REGISTRY/team/iris:latest" --push --output "docker-archive:$dir/image.tar"
say "$REF"
say "steps that started a process: $(steps_run "$META"); PUT requests: $(requests PUT)"
ls -l "$dir/image.tar"

say "== pull and run"
timed "pull and run" "$KANSO" run "$REF" -- env ZENML_ANALYTICS_OPT_IN=false python run.py

say "== times"
printf '%s\n' "${times[@]}"
