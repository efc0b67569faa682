#!/usr/bin/env bash
# Proves: builds that are killed at random moments leave a cache from which the next one is right; so do two at once.
#
#   soak.sh [N]      N kills, 25 if it is not said; SEED=NUMBER does again what a run did
source "$(dirname "$0")/lib.sh"

kills=${1:-25}
RANDOM=${SEED:=$((RANDOM + 1))}
workspace soak
registry_start "$WORK/registry"
"$ROOT/testdata/dockerfile/bases.sh"
say "  SEED=$SEED"

# project DIR NUMBER: sources that differ by the number, in layers of all kinds, and steps that run.
project() {
	mkdir -p "$1/src" "$1/data"
	local i
	for i in 1 2 3 4 5 6; do
		printf 'print(%d, %d)\n' "$i" "$2" >"$1/src/module_$i.py"
		head -c 300000 < <(yes "row $i $(($2 / 3))" 2>/dev/null) >"$1/data/table_$i.csv"
	done
	cat >"$1/Dockerfile" <<-DOCKERFILE
		FROM busybox AS made
		RUN mkdir /made && for i in 1 2 3 4 5 6 7 8 9; do echo $(($2 / 2)) >/made/\$i; done
		FROM busybox
		WORKDIR /app
		RUN echo $(($2 / 4)) >/settings && mkdir /state && rm -rf /home
		COPY . .
		COPY --from=made /made /made
		RUN chmod -R a+rw .
		RUN cat src/module_1.py >>/state/log
	DOCKERFILE
}

# made CACHE DIR NAME: builds and pushes; prints the digest.
made() {
	"$KANSO" build --cache-dir "$1" -f "$2/Dockerfile" --build-context "busybox=oci-layout://$CACHE/dockerfile/bases:busybox" \
		--progress quiet -t "$REGISTRY/team/$3:1" --push "$2" | sed 's/.*@//'
}

# right WHAT CACHE DIR NAME NUMBER: the build gives what one with a cache that was never hurt gives, bit by bit in the registry.
right() {
	local want got
	want=$(made "$WORK/whole" "$3" whole)
	got=$(made "$2" "$3" "$4") || fail "$1: the build fails (SEED=$SEED)"
	[ "$got" = "${want:?}" ] || fail "$1: $got instead of $want (SEED=$SEED)"
	[ "$("$KANSO" run --cache-dir "$2" "$REGISTRY/team/$4@$got" -- cat /made/9 /settings)" = "$(($5 / 2))"$'\n'"$(($5 / 4))" ] ||
		fail "$1: the image holds something else (SEED=$SEED)"
}

project "$WORK/p" 0
started=$(date +%s%N)
made "$WORK/hurt" "$WORK/p" hurt >/dev/null
usual=$((($(date +%s%N) - started) / 1000000))

killed=0
for ((n = 1; n <= kills; n++)); do
	project "$WORK/p" "$n"
	# Every fifth time nothing is known, so that unpacking is hit, too.
	if ((n % 5 == 0)); then rm -rf "$WORK/hurt"; fi
	"$KANSO" build --cache-dir "$WORK/hurt" -f "$WORK/p/Dockerfile" --build-context "busybox=oci-layout://$CACHE/dockerfile/bases:busybox" \
		--progress quiet -t "$REGISTRY/team/hurt:1" --push "$WORK/p" >/dev/null 2>&1 &
	victim=$!
	after=$((RANDOM * usual / 32768))
	sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
	if kill -9 "$victim" 2>/dev/null; then killed=$((killed + 1)); fi
	wait "$victim" 2>/dev/null || true
	right "kill $n, after $after ms" "$WORK/hurt" "$WORK/p" hurt "$n"
done
[ "$killed" -gt 0 ] || fail "none of $kills builds was under way when it was to be killed"
holds "$killed of $kills builds were killed within $usual ms, and the next one was right each time"

for ((n = 1; n <= 3; n++)); do
	project "$WORK/one" $((1000 + n))
	project "$WORK/two" $((1000 + n * (n % 2) + 7 * (1 - n % 2))) # the same and another one, by turns
	made "$WORK/both-$n" "$WORK/one" one >"$WORK/one.ref" &
	one=$!
	made "$WORK/both-$n" "$WORK/two" two >"$WORK/two.ref" &
	two=$!
	wait "$one" || fail "one of two builds at once fails"
	wait "$two" || fail "the other of two builds at once fails"
	for which in one two; do
		want=$(made "$WORK/whole" "$WORK/$which" whole)
		same "two builds at once, $n: $which" "$want" "$(cat "$WORK/$which.ref")"
	done
done
