#!/usr/bin/env bash
# Proves: bad input is refused with its place and a hint, and leaves output and cache directories as they were.
source "$(dirname "$0")/lib.sh"

# The second half of the case "no space", in a mount namespace of its own: a tmpfs of 20 MB at $2, then a build.
if [ "${1:-}" = in-tmpfs ]; then
	mount -t tmpfs -o size=20m tmpfs "$2"
	shift 2
	mkdir "$1"
	export KANSO_CACHE_DIR=$2
	if "$KANSO" build --base "$BASE" --config run.yaml --stack stack.yaml --pipeline training --progress plain --output "oci:$1/image:1"; then exit 0; fi
	[ -z "$(find "$1" -mindepth 1)" ] || { find "$1" >&2; echo "left in the output directory" >&2; }
	exit 1
fi

workspace badinput
plain "$WORK/iris"
cd "$WORK/iris"
mkdir "$WORK/out"
registry_start "$WORK/registry"
build -t "$REGISTRY/base/zenml:1" --push --output "oci:$WORK/out/image:1" # the cache is not empty
build --base "$REGISTRY/base/zenml:1" --output "oci:$WORK/out/image:3" # what it knows of that base stays known
cp run.yaml "$WORK/good.yaml"
failed=0

# What a build has learnt of layers that are there, sketches, it may keep.
listing() { find "$WORK/out" "$WORK/cache" \( -path "$WORK/cache/packages" -o -path "$WORK/cache/values/sketch-*" \) -prune -o -printf '%P %y\n' | sort; }

refused() { # WHAT WORDS -- ARGUMENT...: build refuses, says each of the words (separated by |) and leaves nothing
	local what=$1 words=$2 word problem=
	shift 3
	listing >"$WORK/before"
	if build --output "oci:$WORK/out/other:1" "$@" >"$WORK/said" 2>&1; then problem="was built; "; fi
	local IFS='|'
	for word in $words; do
		grep -q -i -F -e "$word" "$WORK/said" || problem+="does not say \"$word\"; "
	done
	listing >"$WORK/after"
	cmp -s "$WORK/before" "$WORK/after" || problem+="leaves: $(diff "$WORK/before" "$WORK/after" | grep '^[<>]' | tr '\n' ' ' || true); "
	report "$what" "$problem"
	cp "$WORK/good.yaml" run.yaml
}

report() { # WHAT PROBLEM
	if [ -z "$2" ]; then
		holds "$1"
		sed -n 's/^/      /; 1,4p' "$WORK/said" | cut -c1-200
	else
		say "  FAILED: $1: $2"
		sed 's/^/      /' "$WORK/said"
		failed=1
	fi
}

docker() { printf 'settings:\n  docker:\n    install_stack_requirements: false\n    allow_download_from_artifact_store: false\n    %s\n' "$@" >run.yaml; }

docker 'requirments: [toolz]'
refused "unknown settings key (until 0.82)" "run.yaml:5|requirments|requirements|hint" -- --zenml-version 0.81.0
docker 'apt_packages: {git: 1}'
refused "wrong type" "run.yaml:5|apt_packages|hint" --
docker 'requirements: missing.txt'
refused "missing requirements file" "run.yaml:5|missing.txt|hint" --
docker 'required_integrations: [sklern]'
refused "unknown integration" "run.yaml:5|sklern|sklearn|hint" --
docker 'requirements: [toolz'
refused "YAML error" "run.yaml:|hint" --
refused "base not found" "$REGISTRY/no/such:1|hint" -- --base "$REGISTRY/no/such:1"
refused "base for another platform" "linux/arm64|linux/amd64|hint" -- --base "$REGISTRY/base/zenml:1" --platform linux/arm64
# The layers of the base are unpacked once for all installs, so one that works goes first. What a package manager
# downloads is its own affair, and sources that are packed while it installs are kept, so they are those of before.
docker 'requirements: [toolz==0.12.1]'
mv run.yaml "$WORK/toolz.yaml"
cp "$WORK/good.yaml" run.yaml
build --config "$WORK/toolz.yaml" --output "oci:$WORK/out/image:2" 2>"$WORK/said" || { cat "$WORK/said" >&2; fail "what should be built is not"; }
docker 'requirements: [kanso-no-such-package==1]'
mv run.yaml "$WORK/no-such.yaml"
cp "$WORK/good.yaml" run.yaml
refused "failing install" "kanso-no-such-package|hint" -- --config "$WORK/no-such.yaml"

python3 - >"$WORK/refusing.port" <<'PY' &
import http.server
class Refusing(http.server.BaseHTTPRequestHandler):
    def answer(self):
        if self.command == "GET" and self.path == "/v2/":
            status, body = 200, b"{}"
        elif self.command in ("GET", "HEAD"):
            status, body = 404, b'{"errors": [{"code": "NAME_UNKNOWN", "message": "unknown"}]}'
        else:
            status, body = 403, b'{"errors": [{"code": "DENIED", "message": "you may not push here"}]}'
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
print(server.server_port, flush=True)
server.serve_forever()
PY
STARTED+=($!)
while [ ! -s "$WORK/refusing.port" ]; do sleep 0.05; done
refused "registry refusing the push" "127.0.0.1:$(cat "$WORK/refusing.port")/team/iris|denied|hint" -- \
	-t "127.0.0.1:$(cat "$WORK/refusing.port")/team/iris:1" --push

# A full disk: 30 MB that gzip cannot shrink into 20 MB, for the output and for the cache.
head -c 30000000 /dev/urandom >big.bin
mkdir "$WORK/tmpfs"
map=()
[ "$(id -u)" = 0 ] || map=(--user --map-root-user)
problem=
if unshare "${map[@]}" --mount "$ROOT/testdata/e2e/badinput.sh" in-tmpfs "$WORK/tmpfs" "$WORK/tmpfs/out" "$WORK/cache" >"$WORK/said" 2>&1; then problem="was built; "; fi
grep -q -i 'no space' "$WORK/said" || problem+="does not say so; "
if grep -q 'left in the output' "$WORK/said"; then problem+="leaves files; "; fi
report "no space for the output" "$problem"
problem=
if unshare "${map[@]}" --mount "$ROOT/testdata/e2e/badinput.sh" in-tmpfs "$WORK/tmpfs" "$WORK/tmpfs/out" "$WORK/tmpfs/cache" >"$WORK/said" 2>&1; then problem="was built; "; fi
grep -q -i 'no space' "$WORK/said" || problem+="does not say so; "
report "no space for cache and output" "$problem"

[ $failed = 0 ] || fail "see above"
