#!/usr/bin/env bash
# Proves: a Dockerfile of several stages with cache mounts, a secret and COPY --from builds in the sandbox, and its secret is in no
# image, cache or log; of 30 instructions, of which the last COPY changed, nothing else is run, unpacked or downloaded; a stage
# that nothing needs never runs; independent stages run at the same time.
source "$(dirname "$0")/lib.sh"

workspace stages
registry_start "$WORK/registry"
mkdir "$WORK/context" "$WORK/outside"
cd "$WORK/context"

printf 'FROM base\n' >"$WORK/base.Dockerfile"
"$KANSO" build -f "$WORK/base.Dockerfile" --build-context "base=oci-layout://${BASE#oci:}" -t "$REGISTRY/team/base:1" --push --progress plain . \
	2>"$WORK/log" >/dev/null || { cat "$WORK/log"; fail "the base was not pushed"; }
base=$REGISTRY/team/base:1
rm -rf "$WORK/cache" # so that nothing of the base is there

# docker NAME [ARGUMENT...]: builds the Dockerfile on stdin; its report is in META, what it printed in $WORK/NAME.log.
docker() {
	local name=$1
	shift
	META=$WORK/$name.json
	cat >Dockerfile
	forget_requests
	REF=$("$KANSO" build -f Dockerfile --progress plain --metadata-file "$META" "$@" . 2>"$WORK/$name.log") ||
		{ cat "$WORK/$name.log"; fail "$name was not built"; }
}
inside() { "$KANSO" run "oci:$WORK/out:$1" -- "${@:2}"; }

# owners TAG PATH...: as the layers have them, since who has one id sees no others in a sandbox.
owners() {
	python3 - "$WORK/out" "$@" <<'PY'
import json, sys, tarfile
layout, tag, *paths = sys.argv[1:]
def file(d): return layout + "/blobs/" + d["digest"].replace(":", "/")
def blob(d): return json.load(open(file(d), encoding="utf-8"))
index = json.load(open(layout + "/index.json", encoding="utf-8"))["manifests"]
manifest = blob(next(m for m in index if m["annotations"]["org.opencontainers.image.ref.name"] == tag))
found = {}
for layer in manifest["layers"]:
    with tarfile.open(file(layer)) as tar:
        found.update({m.name: "%d:%d" % (m.uid, m.gid) for m in tar})
print(*(found[p] for p in paths))
PY
}

secret=planted-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
variable=planted-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$secret" "$variable" >"$WORK/planted"
printf '%s' "$secret" >"$WORK/outside/token"
export VARIABLE=$variable
echo source >source.txt

mounts() {
	docker "$1" --secret "id=token,src=$WORK/outside/token" --secret id=VARIABLE --output "oci:$WORK/out:$1" --no-cache <<DOCKERFILE
FROM $base AS build
WORKDIR /src
COPY source.txt .
RUN --mount=type=cache,target=/cache,uid=0 echo run >>/cache/runs && wc -l </cache/runs >/src/runs
RUN --mount=type=secret,id=token --mount=type=secret,id=VARIABLE,env=TOKEN \\
    cat /run/secrets/token && printenv TOKEN && wc -c </run/secrets/token >/src/length && printenv TOKEN | wc -c >>/src/length
RUN --mount=type=cache,target=/cache cat source.txt >made.txt && chown 1000:1000 made.txt
FROM $base AS useless
RUN echo this stage runs && exit 1
FROM $base
COPY --from=build --chown=root /src /made/
COPY --from=build /src/made.txt /own.txt
RUN --mount=type=bind,from=build,source=/src,target=/mounted cp /mounted/made.txt /copied.txt
DOCKERFILE
}
mounts first
mounts second
same "the secrets were read" "$(inside second cat /made/length | tr -s ' \n' ' ')" "${#secret} $((${#variable} + 1)) "
same "a cache lasts from build to build" "$(inside first cat /made/runs) $(inside second cat /made/runs)" "1 2"
same "files of another stage" "$(inside second cat /made/made.txt /own.txt /copied.txt | tr '\n' ' ')" "source source source "
same "owners of a stage's files, kept and given" "$(owners second own.txt made/made.txt)" "1000:1000 0:0"
inside second test ! -e /cache || [ -z "$(inside second ls /cache)" ] || fail "the cache is in the image"
inside second test ! -e /run/secrets/token || fail "the secret's file is in the image"
holds "no mount is in the image"
if grep -q 'this stage runs' "$WORK"/*.log; then fail "a stage that nothing needs ran"; fi
holds "a stage that nothing needs never runs"
grep -q '\*\*\*' "$WORK/first.log" || fail "the log does not show where the secrets were"
chmod -R u+rwX "$WORK/cache" 2>/dev/null || true
python3 "$ROOT/testdata/e2e/planted.py" "$WORK/out" "$WORK/cache" "$WORK/registry" "$WORK"/*.log "$WORK"/*.json <"$WORK/planted" ||
	fail "a secret is where it should not be"
holds "no secret in image, cache, log or report"

thirty() { # NAME
	{
		printf 'FROM %s AS build\nWORKDIR /src\n' "$base"
		for ((i = 1; i <= 10; i++)); do printf 'ENV V%d=%d\nRUN echo %d >>/src/steps\n' $i $i $i; done
		printf 'FROM %s\nCOPY --from=build /src /src\nUSER 1000\nLABEL a=b\nEXPOSE 80\nCOPY source.txt /last.txt\nCMD ["true"]\n' "$base"
	} >"$WORK/thirty"
	docker "$1" -t "$REGISTRY/team/thirty:1" --push <"$WORK/thirty"
}
rm -rf "$WORK/cache"
thirty once
same "all steps ran at first" "$(steps_run "$META")" 10
echo changed >source.txt
mv "$WORK/cache/trees" "$WORK/trees" 2>/dev/null || true
thirty again
same "nothing runs when the last COPY changed" "$(steps_run "$META")" 0
same "and nothing is downloaded" "$(requests GET /blobs/)" 0
same "one layer is new" "$(new_layers "$WORK/once.json" "$META")" 1
same "and it alone, with the configuration, is sent" "$(blobs_sent)" 2
[ ! -e "$WORK/cache/trees" ] || [ -z "$(ls "$WORK/cache/trees")" ] || fail "a layer was unpacked"
holds "nothing is unpacked"

# Each of the two waits for the other one, as long as it takes: one after the other they would never end.
docker parallel --output "oci:$WORK/out:parallel" <<DOCKERFILE
FROM $base AS left
RUN --mount=type=cache,id=meet,target=/meet touch /meet/left; for i in \$(seq 600); do [ -e /meet/right ] && break; sleep 0.1; done; [ -e /meet/right ] && echo left met >/left
FROM $base AS right
RUN --mount=type=cache,id=meet,target=/meet touch /meet/right; for i in \$(seq 600); do [ -e /meet/left ] && break; sleep 0.1; done; [ -e /meet/left ] && echo right met >/right
FROM scratch
COPY --from=left /left /
COPY --from=right /right /
DOCKERFILE
holds "two stages that wait for one another end, so they run at the same time"
