#!/usr/bin/env bash
# Proves: a layer over a connection that is cut ten times arrives, and less than 1.2 times its size is sent; so it is read.
#
#   resume.sh [SIZE]     200M if it is not said; make resume takes 2G
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/wires.sh"

bytes=$(numfmt --from=iec "${1:-200M}")
workspace resume
wire_build
mkdir "$WORK/p"
head -c "$bytes" /dev/urandom >"$WORK/p/data"
printf 'FROM scratch\nCOPY data /data\n' >"$WORK/p/Dockerfile"
cuts=10
every=$((bytes / 12))

# within WHAT BYTES CUTS: of all cuts, and less than 1.2 times the size.
within() {
	[ "$3" = "$cuts" ] || fail "$1: $3 of $cuts cuts"
	[ "$2" -ge "$bytes" ] || fail "$1: $2 bytes of $bytes passed"
	[ $(($2 * 10)) -lt $((bytes * 12)) ] || fail "$1: $2 bytes of $bytes passed"
	holds "$1: $cuts cuts, $(($2 * 100 / bytes)) % of the size passed, $SECONDS s since the start"
}

# pushed TO: pushes; DIGEST is the image's.
pushed() {
	DIGEST=$("$KANSO" build --progress plain -f "$WORK/p/Dockerfile" -t "$1/big:1" --push "$WORK/p" 2>"$WORK/said" | sed 's/.*@//') ||
		{ cat "$WORK/said" >&2; fail "the push to $1 fails"; }
}

# arrived REGISTRY: the image is there, all of it.
arrived() {
	rm -rf "$WORK/fresh" "$WORK/out"
	printf 'FROM %s/big:1\nLABEL read=yes\n' "$1" >"$WORK/from"
	KANSO_CACHE_DIR=$WORK/fresh "$KANSO" build --progress plain -f "$WORK/from" --output "oci:$WORK/out:1" "$WORK/none" >"$WORK/said" 2>&1 ||
		{ cat "$WORK/said" >&2; fail "the pull from $1 fails"; }
	local want
	want=$(python3 - "$WORK/out" <<'PY'
import hashlib, json, pathlib, sys, gzip
root = pathlib.Path(sys.argv[1])
def blob(d): return root / "blobs" / d.replace(":", "/")
m = json.loads(blob(json.loads((root / "index.json").read_text())["manifests"][0]["digest"]).read_text())
layer = m["layers"][0]["digest"]
with open(blob(layer), "rb") as f:
    if "sha256:" + hashlib.file_digest(f, "sha256").hexdigest() != layer:
        sys.exit("the layer is another one")
print(layer)
PY
	)
	[ -n "$want" ] || fail "$1 has another layer"
}
mkdir "$WORK/none"

registry_start "$WORK/ours"
"$KANSO" build --progress quiet -f "$WORK/p/Dockerfile" -t "$REGISTRY/before:1" --push "$WORK/p" >"$WORK/before" # the layer is made
registry_stop
rm -rf "$WORK/ours"
registry_start "$WORK/ours"
wire up cut --to "$REGISTRY" --every "$every" --times "$cuts"
pushed "$AT"
wire_saw up
within "sent to a registry that knows how far it is" "$(saw up)" "$(saw cuts)"
same "the digest" "$DIGEST" "$(sed 's/.*@//' "$WORK/before")"

wire down cut --to "$REGISTRY" --every "$every" --times "$cuts" --down
arrived "$AT"
wire_saw down
within "read" "$(saw down)" "$(saw cuts)"

# Docker's registry of before version 3 forgets an upload of which a request was cut. Behind a proxy that reads requests
# whole it does not see such a request, and only the part that was under way is sent again.
docker_registry docker
direct=$AT
wire whole whole --to "$direct"
wire buffered cut --to "$AT" --every "$every" --times "$cuts"
pushed "$AT"
wire_saw buffered
if [ "$bytes" -ge $((1 << 30)) ]; then
	within "sent to Docker's registry behind a proxy that reads requests whole" "$(saw up)" "$(saw cuts)"
else # parts of 16 MiB are much of so little
	[ "$(saw up)" -lt $((bytes + every + (cuts + 1) * 17000000)) ] || fail "Docker's registry behind a proxy: $SAW of $bytes"
	holds "Docker's registry behind a proxy that reads requests whole: $SAW of $bytes"
fi
arrived "$direct"
same "the digest" "$DIGEST" "$(sed 's/.*@//' "$WORK/before")"

rm -rf "$WORK/docker"
mkdir "$WORK/docker"
wire bare cut --to "$direct" --every "$every" --times 3
pushed "$AT"
wire_saw bare
arrived "$direct"
same "the digest" "$DIGEST" "$(sed 's/.*@//' "$WORK/before")"
holds "Docker's registry itself begins again after each of three cuts: $SAW of $bytes"

wire ranged cut --to "$direct" --every "$every" --times "$cuts" --down
arrived "$AT"
wire_saw ranged
within "read from Docker's registry" "$(saw down)" "$(saw cuts)"
