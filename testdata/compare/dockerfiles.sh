#!/usr/bin/env bash
# Proves: each Dockerfile that ZenML generated for its cases builds as it is, from a tar on stdin and from a directory, to one
# image, and that is what kanso build --compat zenml makes of the same case, as a tree and as a configuration.
#     dockerfiles.sh [NUMBER...]
# Needs a package index. The images that Dockerfiles name are one base, in a registry that stands for all; what else of a case
# cannot exist is replaced: case.py says what and why.
source "$(dirname "$0")/../e2e/lib.sh"
"$ROOT/testdata/e2e/base.sh"
workspace dockerfiles
need python3 python3

# Cases that are not built here unless they are named, with the reason.
declare -A without=(
	[02]="torch brings gigabytes of CUDA" [04]="torch brings gigabytes of CUDA"
	[03]="its index does not exist" [17]="zenml 0.0.0 is no package" [18]="uvfrozen is no package"
	[36]="a is no package" [39]="a is no package" [44]="a is no package" [47]="a is no package" [55]="a is no package"
	[58]="the base has no user u"
)
if [ $# = 0 ]; then
	for case in "$ROOT"/testdata/zenml/cases/[0-5][0-9]-*/expected/b00; do
		n=$(basename "${case%/expected/b00}")
		if [ -z "${without[${n%%-*}]:-}" ]; then set -- "$@" "${n%%-*}"; else say "not built: $n: ${without[${n%%-*}]}"; fi
	done
fi

registry_start "$WORK/registry"
mirrors=()
for host in docker.io registry.example.com registry.example.com:5000 123456789012.dkr.ecr.eu-central-1.amazonaws.com eu.gcr.io; do
	mirrors+=(--mirror "$host=$REGISTRY")
done
printf 'FROM base\n' >"$WORK/Dockerfile"
"$KANSO" build -f "$WORK/Dockerfile" --build-context "base=oci-layout://${BASE#oci:}" --push -q "$WORK/registry" \
	-t "$REGISTRY/zenmldocker/zenml:$ZENML-py$PYTHON" -t "$REGISTRY/library/python:3.11-slim" -t "$REGISTRY/library/base:1" \
	-t "$REGISTRY/base:1.0" >/dev/null

# pip would try versions of what these need for hours; they get an index with one of each.
declare -A pinned=([14]=yes [20]=yes)
python3 "$ROOT/testdata/compare/pinned.py" "$ROOT/testdata/compare/versions.txt" "$WORK/index" &
STARTED+=($!)
until [ -s "$WORK/index" ]; do kill -0 "${STARTED[-1]}" && sleep 0.1; done

# flags BUILDS NUMBER: the build options that docker build and kanso have by the same names, one word a line.
flags() {
	python3 - "$@" <<'PY'
import json, sys
words = json.load(open(sys.argv[1], encoding="utf-8"))[int(sys.argv[2])]["build_options_as_docker_cli"]
for flag, value in zip(words, words[1:]):
    if flag in ("--build-arg", "--label", "--platform"):
        print(flag, value, sep="\n")
PY
}

# names BUILDS: what the builds' images are called, one a line.
names() { python3 -c 'import json, sys; print(*(b["image_name"] for b in json.load(open(sys.argv[1], encoding="utf-8"))), sep="\n")' "$1"; }

# theirs NUMBER: the Dockerfiles of a case. What a command left is a project's own, and a tar and a directory are two: the
# second one takes it from the image of the first, or apt's dates would differ.
theirs() {
	local case=$WORK/$1 i=0 name b log mine of_dir own
	while read -r name; do
		b=$(printf 'b%02d' $i)
		log=$case/$b.log
		mapfile -t own < <(flags "$case/plan/builds.json" $i)
		own+=("${mirrors[@]}" --lend pip --lend uv --lend apt --progress plain)
		mine=$("$KANSO" build -f Dockerfile "${own[@]}" --output "oci:$case/tar:$b" -t "$REGISTRY/of-tar/$1:$b" --push - <"$case/plan/$b/context.tar" 2>"$log") ||
			{ cat "$log"; fail "case $1: $b from a tar"; }
		mkdir "$case/$b"
		tar -xpf "$case/plan/$b/context.tar" -C "$case/$b"
		of_dir=$("$KANSO" build -f "$case/$b/Dockerfile" "${own[@]}" --cache-from "$REGISTRY/of-tar/$1:$b" -q "$case/$b" 2>"$log") || { cat "$log"; fail "case $1: $b from a directory"; }
		[ "${mine##*@}" = "${of_dir##*@}" ] || fail "case $1: $b from a directory is $of_dir, from a tar $mine"
		if [[ $name == *-intermediate-build ]]; then # the next one stands on it
			case $name in */*) name=${name#*/} ;; *) name=library/$name ;; esac
			"$KANSO" build -f Dockerfile "${own[@]}" -t "$REGISTRY/$name" --push - <"$case/plan/$b/context.tar" >/dev/null 2>"$log" || { cat "$log"; fail "case $1: push $b"; }
		else
			built+=("$case/tar:$b")
		fi
		i=$((i + 1))
	done < <(names "$case/plan/builds.json")
}

# alike NUMBER: the earlier case with the same Dockerfiles and contexts.
declare -A seen=()
alike() {
	local sum
	sum=$(cd "$WORK/$1/plan" && find . -type f ! -name builds.json ! -name record.json ! -name context.tar -exec sha256sum {} + | sort | sha256sum)
	echo "${seen[$sum]:-}"
	seen[$sum]=${seen[$sum]:-$1}
}

pairs=()
for n; do
	say "== $(basename "$ROOT/testdata/zenml/cases/$n"-*)"
	case=$WORK/$n
	python3 "$ROOT/testdata/compare/case.py" "$(echo "$ROOT/testdata/zenml/cases/$n"-*)" "$case" "$BASE"
	mapfile -t arguments < <(sed 1,2d "$case/arguments") # all but --base
	arguments+=(--compat zenml "${mirrors[@]}")
	mapfile -t environment <"$case/environment"
	if [ -n "${pinned[$n]:-}" ]; then export PIP_INDEX_URL; PIP_INDEX_URL=$(cat "$WORK/index"); else unset PIP_INDEX_URL; fi
	(cd "$case/project" && env "${environment[@]}" PATH="$case/tools:$PATH" "$KANSO" plan "${arguments[@]}" --dockerfile "$case/plan") >"$case/plan.log" 2>&1 ||
		{ cat "$case/plan.log"; fail "case $n: its plan"; }
	alike "$n" >"$case/alike"
	if [ -s "$case/alike" ] && read -r other <"$case/alike" && [ -n "$other" ]; then
		say "  its Dockerfiles and contexts are those of case $other"
		continue
	fi
	mkdir "$case/out"
	(cd "$case/project" && env "${environment[@]}" PATH="$case/tools:$PATH" "$KANSO" build "${arguments[@]}" --output "oci:$case/out/layout" --progress plain) >"$case/log" 2>&1 ||
		{ cat "$case/log"; fail "case $n: its settings"; }
	python3 "$ROOT/testdata/compare/case.py" --tags "$case/out/layout"
	if [[ ${without[$n]:-} = *gigabytes* ]]; then # both builds together are more than is kept, and more than many disks have
		chmod -R u+rwX "$KANSO_CACHE_DIR" && rm -rf "$KANSO_CACHE_DIR"
		export KANSO_CACHE_LIMIT=none
	fi
	built=()
	theirs "$n"
	holds "$(find "$case/plan" -name context.tar | wc -l) Dockerfiles build, from a tar and from a directory alike"
	for i in "${!built[@]}"; do pairs+=("${built[$i]}" "$(printf '%s/out/layout:b%02d' "$case" "$i")"); done
done
python3 "$ROOT/testdata/compare/tree.py" --allowed "$ROOT/testdata/compare/allowed-dockerfiles.txt" "${pairs[@]}"
