#!/usr/bin/env bash
# Proves: the quickstart works, runs nothing and sends nothing the second time, also after touch, and one layer after an edit.
# Works on a copy of the sample, so that the project stays as it is.
source "$(dirname "$0")/lib.sh"

workspace quickstart
need python3 python3
mkdir -p "$WORK/project/testdata" "$WORK/project/bin"
cp -R "$ROOT/testdata/." "$WORK/project/testdata/"
cp "$KANSO" "$WORK/project/bin/"
export QUICKSTART_DIR=$WORK/kept
unset KANSO_CACHE_DIR KANSO

run() { # WHAT
	"$WORK/project/testdata/quickstart.sh" >"$WORK/out" 2>"$WORK/err" || { cat "$WORK/out" "$WORK/err" >&2; fail "$1: the quickstart fails"; }
	grep -q '^iris: .* accuracy' "$WORK/out" || fail "$1: the pipeline has printed nothing"
	line=$(grep '^steps that started a process:' "$WORK/out")
	say "  $1: $line"
}
nothing="steps that started a process: 0; PUT requests: 0"
run "first"
[ "$line" != "$nothing" ] || fail "the first run has done nothing"
cat "$WORK/out"
run "second"
same "second run" "$nothing" "$line"
find "$WORK/project/testdata/quickstart" -exec touch {} +
run "touched"
same "after touch" "$nothing" "$line"
cp "$WORK/kept/metadata.json" "$WORK/before.json"
echo '# edited' >>"$WORK/project/testdata/quickstart/steps/train.py"
run "edited"
same "edited: new layers" 1 "$(new_layers "$WORK/before.json" "$WORK/kept/metadata.json")"
