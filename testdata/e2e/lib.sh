# shellcheck shell=bash
# What the scripts share. It is the one place that knows how kanso prints, logs and is called.
# Variables: KANSO (the program), KANSO_BASE (a base with Python, pip, uv and zenml), KANSO_TEST_CACHE (what is kept
# between runs). After sourcing it: ROOT, SAMPLE, CACHE, BASE, WORK (a directory that is removed at the end).

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SAMPLE=$ROOT/testdata/quickstart
KANSO=${KANSO:-$ROOT/bin/kanso}
CACHE=${KANSO_TEST_CACHE:-/var/tmp/kanso-test}
ZENML=0.98.0
PYTHON=3.11
BASE=${KANSO_BASE:-oci:$CACHE/base:$ZENML-py$PYTHON}
REGISTRY_PID=
WORK=
STARTED=() # processes that are ended
MOUNTED=() # and directories that are unmounted at the end, in this order

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
holds() { say "  ok: $*"; }

# need COMMAND PACKAGE...: the command is there, or root installs the packages, one script at a time: apt waits for no other.
need() {
	command -v "$1" >/dev/null && return
	[ "$(id -u)" = 0 ] || fail "$1 is missing; hint: apt-get install ${*:2}"
	(
		flock 9
		apt-get -q update
		DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${@:2}"
	) >&2 9>"${TMPDIR:-/tmp}/kanso-apt.lock"
}

# workspace: WORK is an empty directory; it and what was started go at the end.
workspace() {
	WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/kanso-${1:-work}.XXXXXX")
	trap cleanup EXIT
	export KANSO_CACHE_DIR=$WORK/cache
}

cleanup() {
	local status=$? one
	trap - EXIT
	registry_stop
	for one in "${STARTED[@]}"; do kill "$one" 2>/dev/null || true; done
	for one in "${MOUNTED[@]}"; do umount -R "$one" || true; done
	if [ -n "$WORK" ]; then
		if [ $status != 0 ] && [ -n "${KEEP:-}" ]; then
			say "left for looking at: $WORK" >&2
		else
			chmod -R u+rwX "$WORK" 2>/dev/null || true
			rm -rf "$WORK" 2>/dev/null || true
		fi
	fi
	exit $status
}

# registry_start DIR: serves DIR; REGISTRY is its address, REGISTRY_LOG what was asked of it.
registry_start() {
	REGISTRY_LOG=${REGISTRY_LOG:-$WORK/registry.log}
	local out=$REGISTRY_LOG.address i
	mkdir -p "$1"
	: >"$out"
	"$KANSO" registry --listen 127.0.0.1:0 "$1" >"$out" 2>"$REGISTRY_LOG" &
	REGISTRY_PID=$!
	for ((i = 0; i < 100; i++)); do
		REGISTRY=$(sed -n '1s#.*\(127\.0\.0\.1:[0-9]*\).*#\1#p' "$out")
		[ -n "$REGISTRY" ] && return
		kill -0 "$REGISTRY_PID" 2>/dev/null || fail "the registry ended: $(cat "$REGISTRY_LOG")"
		sleep 0.05
	done
	fail "the registry does not say where it listens"
}

registry_stop() {
	[ -n "$REGISTRY_PID" ] || return 0
	kill "$REGISTRY_PID" 2>/dev/null || true
	wait "$REGISTRY_PID" 2>/dev/null || true
	REGISTRY_PID=
}

# requests METHOD [PATTERN]: how many requests of that method the registry has logged since forget_requests.
requests() { grep -c -E "(^|[ \"])$1 [^ ]*${2:-}" "$REGISTRY_LOG" || true; }
forget_requests() { : >"$REGISTRY_LOG"; }

# blobs_sent: the blobs that the registry has taken.
blobs_sent() { requests PUT '/blobs/uploads/'; }

# sample DIR: a fresh copy of the sample project.
sample() {
	mkdir -p "$1"
	cp -R "$SAMPLE/." "$1/"
	find "$1" -name __pycache__ -prune -exec rm -rf {} +
}

# plain DIR: the sample project as one that installs nothing.
plain() {
	sample "$1"
	cat >"$1/run.yaml" <<'YAML'
settings:
  docker:
    install_stack_requirements: false
    allow_download_from_artifact_store: false
YAML
}

# build ARGUMENT...: an image of the project in the current directory; its reference is in REF, its report in $META.
build() {
	META=${META:-$WORK/metadata.json}
	REF=$("$KANSO" build --base "$BASE" --config run.yaml --stack stack.yaml --pipeline training \
		--progress plain --metadata-file "$META" "$@")
}

# digest: of the image built last.
digest() { printf '%s\n' "${REF##*@}"; }

# steps_run FILE: how many steps started a process, from a build's metadata.
steps_run() {
	python3 - "$1" <<'PY'
import json, sys
def ran(value):
    if isinstance(value, dict):
        return (value["ran"] if isinstance(value.get("ran"), int) else 0) + sum(map(ran, value.values()))
    return sum(map(ran, value)) if isinstance(value, list) else 0
text = open(sys.argv[1], encoding="utf-8").read()
if '"ran"' not in text:
    sys.exit("the metadata does not say how many steps ran")
print(ran(json.loads(text)))
PY
}

# new_layers OLD NEW: how many layers of the second report are not in the first.
new_layers() {
	python3 - "$@" <<'PY'
import json, sys
def layers(value):
    if isinstance(value, dict):
        here = {l["digest"] for l in value.get("layers") or [] if isinstance(l, dict)}
        return here.union(*map(layers, value.values()))
    return set().union(*map(layers, value)) if isinstance(value, list) else set()
old, new = (layers(json.load(open(name, encoding="utf-8"))) for name in sys.argv[1:3])
print(len(new - old))
PY
}

# with_cgroup2 COMMAND...: in a mount namespace where crun finds the unified hierarchy only; it refuses the mix of both.
with_cgroup2() {
	# shellcheck disable=SC2016 # the inner shell expands them
	unshare --mount sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' - "$@"
}

# same WHAT A B: A and B are equal.
same() { [ "$2" = "$3" ] || fail "$1 differs: $2, $3"; holds "$1"; }
