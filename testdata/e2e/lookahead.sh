#!/usr/bin/env bash
# Proves: what kanso lends to pip asks an index for pages side by side, of what is requested and of what that depends on; pip asks
# for each page and for metadata once, and installs what it installs without; an answer that fails is left to pip, and so is a
# project that is not there.
source "$(dirname "$0")/lib.sh"

need python3 python3
workspace lookahead
plain "$WORK/iris"
cd "$WORK/iris"
mkdir "$WORK/out"
PYTHONDONTWRITEBYTECODE=1 python3 "$ROOT/testdata/e2e/lookahead.py" "$WORK/address" "$WORK/requests" &
STARTED+=($!)
until [ -s "$WORK/address" ]; do
	kill -0 "${STARTED[-1]}" || fail "the index ended"
	sleep 0.1
done
index=$(cat "$WORK/address")
roots=(alpha beta gamma delta)

# plainly NAME WORD...: an image in whose only step pip installs the words by itself; the log is in $WORK/NAME.log.
plainly() {
	printf 'FROM base\nRUN env -u PYTHONPATH pip install --no-cache-dir %s\n' "${*:2}" >"$WORK/Dockerfile"
	PIP_INDEX_URL=$index/plain/simple "$KANSO" build -f "$WORK/Dockerfile" --build-context "base=oci-layout://${BASE#oci:}" --lend pip \
		--no-cache --progress plain --output "oci:$WORK/out:$1" . >"$WORK/$1.log" 2>&1
}

# hastened NAME WORD...: as a build of ZenML's settings installs them.
hastened() {
	local words=() w
	for w in "${@:2}"; do words+=(--requirement "$w"); done
	PIP_INDEX_URL=$index/together/simple build --installer pip "${words[@]}" --output "oci:$WORK/out:$1" >"$WORK/$1.log" 2>&1
}

# installed NAME: what pip says is there, and every file of it but what was compiled.
installed() {
	"$KANSO" run "oci:$WORK/out:$1" -- sh -c 'pip freeze && cd /opt/venv/lib/python3*/site-packages &&
		find "$@" -type f ! -name "*.pyc" | LC_ALL=C sort | xargs sha256sum' - \
		alpha alpha-1.0.dist-info beta beta-1.0.dist-info gamma gamma-1.0.dist-info delta delta-1.0.dist-info \
		one one-1.0.dist-info two two-2.0.dist-info three three-1.0.dist-info
}

# asked PATH: how often.
asked() { grep -c -x -F "/together/$1" "$WORK/requests" || true; }

hastened together "${roots[@]}" || { cat "$WORK/together.log" "$WORK/requests"; fail "it does not build"; }
if grep '^alone' "$WORK/requests"; then fail "pages were asked for one after the other"; fi
holds "pages are asked for side by side"
for name in "${roots[@]}" one two three; do same "asked for the page of $name" 1 "$(asked "simple/$name/")"; done
for file in alpha-1.0 alpha-2.0 beta-1.0 one-1.0 two-2.0 three-1.0; do same "asked for the metadata of $file" 1 "$(asked "files/$file-py3-none-any.whl.metadata")"; done
for file in gamma-1.0 delta-1.0; do same "asked again for the metadata of $file, which failed" 2 "$(asked "files/$file-py3-none-any.whl.metadata")"; done

plainly plain "${roots[@]}" || { cat "$WORK/plain.log"; fail "pip alone does not build"; }
installed plain >"$WORK/plain.txt"
installed together >"$WORK/together.txt"
diff "$WORK/plain.txt" "$WORK/together.txt" || fail "pip has installed something else"
grep -q -x 'alpha==1.0' "$WORK/together.txt" || fail "alpha is not the version that beta wants"
holds "pip has installed what it installs by itself: $(grep -c == "$WORK/together.txt") distributions"

# errors NAME: what pip said.
errors() { grep -o 'ERROR: .*' "$WORK/$1.log" | sort -u; }
if hastened gone hidden; then fail "what is not there was installed"; fi
if plainly gone-plain hidden; then fail "what is not there was installed by pip"; fi
grep -q hidden <<<"$(errors gone-plain)" || { cat "$WORK/gone-plain.log"; fail "pip says nothing of it"; }
same "pip's words for what is not there" "$(errors gone-plain)" "$(errors gone)"
