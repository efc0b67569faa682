#!/usr/bin/env bash
# Proves that no fuzz target finds anything within FUZZTIME (10s) each; TARGETS names some of them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
status=0
while IFS=: read -r file _ line; do
	target=${line#func }
	target=${target%%(*}
	[ -z "${TARGETS:-}" ] || [[ " $TARGETS " == *" $target "* ]] || continue
	echo "--- $target in $(dirname "$file")"
	"${GO:-go}" test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" -fuzzminimizetime 5s || status=1
done < <(grep -rnE '^func Fuzz' --include=*_test.go layers oci resolve)
exit $status
