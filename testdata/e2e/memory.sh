#!/usr/bin/env bash
# Proves: the peak memory of building and pushing a source-only image is small and does not grow with the sources.
# memory.sh [SIZE...] (default 2G 10G)
source "$(dirname "$0")/lib.sh"

workspace memory
plain "$WORK/iris"
cd "$WORK/iris"
mkdir big
peaks=()
for size in "${@:-2G}"; do
	bytes=$(numfmt --from=iec "$size")
	# Files of 64 MB that cannot be compressed; those of the size before stay.
	for ((have = $(du -sb big | cut -f1) / 64000000; have * 64000000 < bytes; have++)); do
		head -c 64000000 /dev/urandom >"big/$have"
	done
	# How threads fall shows in a peak: each of three builds stays below the ceiling, and their median is what is compared.
	ones=()
	for run in 1 2 3; do
		registry_start "$WORK/registry"
		one=$(python3 - "$KANSO" build --base "$BASE" --config run.yaml --stack stack.yaml --pipeline training \
			--progress quiet -t "$REGISTRY/team/big:$size" --push <<'PY'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PY
		)
		registry_stop
		rm -rf "$WORK/registry" "$WORK/cache"
		say "  $size of files, build $run: peak $one MiB, $SECONDS s since the start"
		[ "$one" -lt 96 ] || fail "peak memory is $one MiB, 96 MiB are allowed"
		ones+=("$one")
	done
	peaks+=("$(printf '%s\n' "${ones[@]}" | sort -n | sed -n 2p)")
done
low=$(printf '%s\n' "${peaks[@]}" | sort -n | head -n 1)
high=$(printf '%s\n' "${peaks[@]}" | sort -n | tail -n 1)
[ $((high * 10)) -le $((low * 11)) ] || fail "peaks from $low to $high MiB: more than 10 % apart"
holds "peaks from $low to $high MiB"
