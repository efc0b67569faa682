#!/usr/bin/env bash
# Proves that no fuzz target finds anything within FUZZTIME (10s) each, with PARALLEL workers (all cores), as nice as NICE says (0);
# TARGETS names some of them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
flags=()
[ -z "${PARALLEL:-}" ] || flags=(-parallel "$PARALLEL")
[ -z "${NICE:-}" ] || flags+=(-exec "nice -n $NICE")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run TARGET DIR: its exit status.
run() {
	"${GO:-go}" test "./$2" -run '^$' -fuzz "^$1\$" -fuzztime "${FUZZTIME:-10s}" -fuzzminimizetime 5s "${flags[@]}" 2>&1 | tee "$log"
}

status=0
while IFS=: read -r file _ line; do
	target=${line#func }
	target=${target%%(*}
	[ -z "${TARGETS:-}" ] || [[ " $TARGETS " == *" $target "* ]] || continue
	echo "--- $target in $(dirname "$file")"
	run "$target" "$(dirname "$file")" && continue
	# Go's fuzzing can take its own end for a failure (go.dev/issue/75804); what it found it writes down.
	if grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic:|DATA RACE' "$log"; then
		run "$target" "$(dirname "$file")" && continue
	fi
	status=1
done < <(grep -rnE '^func Fuzz' --include=*_test.go layers oci resolve)
exit $status
