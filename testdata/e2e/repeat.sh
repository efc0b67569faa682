#!/usr/bin/env bash
# Proves: a second build runs nothing and sends nothing, also after touch; an edited step is one layer.
source "$(dirname "$0")/lib.sh"

workspace repeat
sample "$WORK/iris"
cd "$WORK/iris"
registry_start "$WORK/registry"
name=$REGISTRY/team/iris:latest

build -t "$name" --push
first=$REF
[ "$(steps_run "$META")" -gt 0 ] || fail "the first build ran no step"
[ "$(requests PUT)" -gt 0 ] || fail "the registry's log shows no PUT"
holds "first build ran $(steps_run "$META") steps and sent $(blobs_sent) blobs"

nothing_new() {
	forget_requests
	build -t "$name" --push
	same "$1: digest" "$first" "$REF"
	same "$1: steps that ran" 0 "$(steps_run "$META")"
	same "$1: PUT requests" 0 "$(requests PUT)"
}
nothing_new "again"
find . -exec touch {} +
nothing_new "after touch on every source"

cp "$META" "$WORK/before.json"
echo '# edited' >>steps/train.py
forget_requests
build -t "$name" --push
[ "$REF" != "$first" ] || fail "the edit has changed nothing"
same "edited step: steps that ran" 0 "$(steps_run "$META")"
same "edited step: new layers" 1 "$(new_layers "$WORK/before.json" "$META")"
same "edited step: blobs sent (the layer and the configuration)" 2 "$(blobs_sent)"
"$KANSO" run "$REF" -- grep -q '^# edited' steps/train.py || fail "the edit is not in the image"
holds "the edit is in the image"
