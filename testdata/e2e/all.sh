#!/usr/bin/env bash
# The end-to-end scripts that are part of make test; the slower ones are in .ci/run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
failed=()
for name in sourceonly repeat secrets badinput stages; do
	started=$SECONDS
	echo "e2e: $name"
	if ! "$here/$name.sh"; then failed+=("$name"); fi
	echo "e2e: $name: $((SECONDS - started)) s"
done
[ ${#failed[@]} = 0 ] || { echo "e2e: failed: ${failed[*]}" >&2; exit 1; }
