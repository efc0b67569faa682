#!/usr/bin/env bash
# Proves: builds that are killed or ended at random moments leave nothing half-written and a cache from which the next one is right; so do two at once.
#
#   soak.sh [N]      N kills, 25 if it is not said; SEED=NUMBER does again what a run did
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/hurt.sh"

kills=${1:-25}
RANDOM=${SEED:=$((RANDOM + 1))}
hurt_setup soak
say "  SEED=$SEED"

project "$WORK/p" 0
made "$WORK/hurt" "$WORK/p" hurt >/dev/null
project "$WORK/p" 12
started=$(date +%s%N)
made "$WORK/hurt" "$WORK/p" hurt >/dev/null
usual=$((($(date +%s%N) - started) / 1000000))

killed=0
for ((n = 1; killed < kills && n <= 3 * kills; n++)); do
	project "$WORK/p" "$n"
	# Every fifth time nothing is known, so that unpacking is hit, too.
	if ((n % 5 == 0)); then rm -rf "$WORK/hurt"; fi
	arguments "$WORK/hurt" "$WORK/p"
	"$KANSO" "${ARGUMENTS[@]}" -t "$REGISTRY/team/hurt:1" --push --output "docker-archive:$WORK/hurt.tar" >/dev/null 2>&1 &
	victim=$!
	after=$((RANDOM * usual / 32768))
	sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
	signal=$((n % 4 == 3 ? 15 : 9)) # every fourth time it may tidy up
	if kill -$signal "$victim" 2>/dev/null; then
		killed=$((killed + 1)) usual=$((usual * 21 / 20))
	else
		usual=$((usual * 9 / 10 + 1)) # it had ended already
	fi
	status=0
	wait "$victim" 2>/dev/null || status=$?
	what="signal $signal in build $n, after $after ms (SEED=$SEED)"
	left=$(find "$WORK/hurt/scratch" "$WORK/hurt/tmp" -mindepth 1 -maxdepth 1 2>/dev/null || true) # before anything is there, too
	if [ "$status" = 143 ] && [ -n "$left" ]; then fail "$what: it leaves $left"; fi
	nothing_left "$what"
	blobs_whole "$what" "$WORK/hurt"
	if [ -e "$WORK/hurt.tar" ] && ! tar -tf "$WORK/hurt.tar" manifest.json >/dev/null 2>&1; then fail "$what: half of an archive"; fi
	rm -f "$WORK/hurt.tar"
	right "$what" "$WORK/hurt" "$WORK/p" hurt "$n"
done
[ "$killed" = "$kills" ] || fail "$killed of $((n - 1)) builds were under way when they were to be killed, $kills should be"
blobs_whole "the registry" "$WORK/registry"
holds "$killed of $((n - 1)) builds were killed or ended at random moments: nothing half-written, nothing left, and the next one was right each time"

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
