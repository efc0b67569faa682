#!/usr/bin/env bash
# big.sh SIZE: source of 2 GB and of SIZE, built for the first time. Peak memory stays below 96 MiB and within 10 % of that
# for 2 GB, and pgzip on one read of the same files, as a tar, is no more than 1.25 times as fast: with what it does by default,
# and at kanso's level, at which it is faster. Interleaved, the medians of three. Needs twice SIZE of disk.
source "$(dirname "$0")/../e2e/lib.sh"

workspace big
(cd "$ROOT" && CGO_ENABLED=0 go build -trimpath -o "$WORK/pgzip" ./testdata/bench/pgzip)
mkdir -p "$WORK/context/data"
printf 'FROM scratch\nCOPY . /app\n' >"$WORK/Dockerfile"

# timed COMMAND...: TIME in ms and PEAK in MiB of one process.
timed() {
	read -r TIME PEAK < <(python3 - "$@" <<'PY'
import resource, subprocess, sys, time
started = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(round((time.monotonic() - started) * 1000), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PY
	)
}
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

# throughput NAME TIME...: that of kanso beside such times of pgzip's, which it has to be near.
throughput() {
	local name=$1 percent
	shift
	percent=$(($(median "$@") * 100 / time))
	say "big, $size: throughput $percent % of pgzip's $name"
	[ "$percent" -ge 80 ] || bad+="$size: throughput of $percent % of pgzip's $name, not 80 %
"
}

peaks=() bad=
for size in 2G "$1"; do
	python3 "$ROOT/testdata/bench/gen.py" data "$WORK/context/data" "$(numfmt --from=iec "$size")"
	times=() usual=() level=() memory=()
	for run in 1 2 3; do
		timed "$WORK/pgzip" -1 "$WORK/context"
		usual+=("$TIME")
		timed "$WORK/pgzip" 3 "$WORK/context"
		level+=("$TIME")
		rm -rf "$WORK/cache"
		timed "$KANSO" build --progress quiet -f "$WORK/Dockerfile" "$WORK/context"
		times+=("$TIME") memory+=("$PEAK")
		[ "$PEAK" -lt 96 ] || bad+="$size: peak memory of $PEAK MiB, not below 96
"
		say "  $size, run $run: kanso $TIME ms and $PEAK MiB, pgzip ${usual[-1]} ms, at level 3 ${level[-1]} ms"
	done
	rm -rf "$WORK/cache"
	peak=$(median "${memory[@]}") time=$(median "${times[@]}")
	peaks+=("$peak")
	say "big, $size: peak $peak MiB"
	throughput "default" "${usual[@]}"
	throughput "level 3" "${level[@]}"
done
[ $((peaks[1] * 10)) -le $((peaks[0] * 11)) ] || bad+="peaks of ${peaks[0]} and ${peaks[1]} MiB: more than 10 % apart
"
[ -z "$bad" ] || fail "$bad"
holds "peaks of ${peaks[0]} and ${peaks[1]} MiB"
