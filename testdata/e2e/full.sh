#!/usr/bin/env bash
# Proves: builds whose cache, output, temporary directory or registry runs out of space say where, leave nothing half-written, and
# the next one with room is right; so it is with caches that may only be read, of another version or user, and from the future.
#
#   full.sh [N]      until N builds ran out of space, 10 if it is not said; SEED=NUMBER does again what a run did. As root.
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/hurt.sh"

[ "$(id -u)" = 0 ] || fail "needs root"
if [ -z "${IN_NAMESPACES:-}" ]; then # of mounts and processes, so that what is left can be told
	[ -x "$KANSO" ] || fail "no $KANSO"
	IN_NAMESPACES=1 exec unshare --mount --pid --fork --mount-proc "$0" "$@"
fi
fulls=${1:-10}
RANDOM=${SEED:=$((RANDOM + 1))}
hurt_setup full
say "  SEED=$SEED"
place=$WORK/place
mkdir "$place"
mount -t tmpfs -o size=1g tmpfs "$place"
MOUNTED+=("$place")

project "$WORK/p" 0
made "$place/cache" "$WORK/p" full >/dev/null
needed=$(($(du -sk "$place" | cut -f1)))
rm -rf "$place/cache"

# refused WHAT WORDS COMMAND...: it fails, and says each of the words (separated by |) and a hint.
refused() {
	local what=$1 words=$2 word
	shift 2
	if "$@" >"$WORK/said" 2>&1; then fail "$what: it works"; fi
	local IFS='|'
	for word in $words hint:; do
		grep -q -F -e "$word" "$WORK/said" || { cat "$WORK/said" >&2; fail "$what: it does not say $word"; }
	done
}

failed=0
for ((n = 1; failed < fulls && n <= 3 * fulls; n++)); do
	project "$WORK/p" "$n"
	where=$((n % 10))
	cache=$place/cache out=$WORK/out tmp=/tmp
	case $where in
	3 | 7) cache=$WORK/hurt out=$place/out what=output size=$((RANDOM * needed / 32768 / 4)) ;;
	5) cache=$WORK/hurt tmp=$place what="temporary directory" size=4 ;;
	9) cache=$WORK/hurt what=registry size=$((RANDOM * needed / 32768 / 8)) ;;
	*) what=cache size=$((RANDOM * needed / 32768)) ;;
	esac
	if ((n % 4 == 0)); then rm -rf "$cache"; fi
	rm -rf "$WORK/out" "$place/out"
	mkdir -p "$WORK/out" "$place/out" "$place/registry"
	used=$(du -sk "$place" | cut -f1)
	mount -o "remount,size=$((used + size + 8))k" "$place"
	what="$what of $size kB, build $n (SEED=$SEED)"
	if [ "$where" = 9 ]; then
		registry_stop
		registry_start "$place/registry"
	fi
	arguments "$cache" "$WORK/p"
	if TMPDIR=$tmp "$KANSO" "${ARGUMENTS[@]}" -t "$REGISTRY/team/full:1" --push --output "oci:$out/layout:1" --output "docker-archive:$out/image.tar" >"$WORK/said" 2>&1; then
		: # there was room enough
	else
		failed=$((failed + 1))
		say "  $what: $(grep -m 1 '^kanso: ' "$WORK/said" | cut -c1-240)"
		grep -q -i 'no space left' "$WORK/said" || { cat "$WORK/said" >&2; fail "$what: it does not say so"; }
		[ "$where" = 9 ] || grep -q -F "$place" "$WORK/said" || { cat "$WORK/said" >&2; fail "$what: it does not say where"; }
		grep -q '^hint: ' "$WORK/said" || { cat "$WORK/said" >&2; fail "$what: no hint"; }
		[ ! -e "$out/image.tar" ] || tar -xOf "$out/image.tar" manifest.json >/dev/null 2>&1 || fail "$what: half of an archive"
		[ ! -e "$out/layout/index.json" ] || "$KANSO" run "oci:$out/layout:1" -- true || fail "$what: half of a layout"
	fi
	nothing_left "$what"
	blobs_whole "$what" "$cache/blobs"
	blobs_whole "$what" "$place/registry/blobs"
	[ -z "$(find "$WORK/out" "$place/out" "$place/registry/repositories" -name '.*' -o -name '*.part*' 2>/dev/null)" ] || fail "$what: temporary files"
	mount -o remount,size=1g "$place"
	if [ "$where" = 9 ]; then
		right "$what" "$cache" "$WORK/p" full "$n"
		registry_stop
		registry_start "$WORK/registry"
	fi
	right "$what" "$cache" "$WORK/p" full "$n"
done
[ "$failed" = "$fulls" ] || fail "only $failed of $n builds ran out of space"
holds "$failed builds ran out of space: each said where, nothing half-written, nothing left, and the next one was right"

# A cache that may only be read.
project "$WORK/p" 0
right "before" "$WORK/hurt" "$WORK/p" full 0
mkdir "$WORK/readonly"
mount --bind "$WORK/hurt" "$WORK/readonly"
mount -o remount,bind,ro "$WORK/readonly"
MOUNTED=("$WORK/readonly" "${MOUNTED[@]}")
arguments "$WORK/readonly" "$WORK/p"
refused "a cache that may only be read" "cache $WORK/readonly|read-only file system|--cache-dir" "$KANSO" "${ARGUMENTS[@]}" --output "oci:$WORK/out/ro:1"
[ ! -e "$WORK/out/ro" ] || fail "a cache that may only be read: something was written"
holds "a cache that may only be read: $(grep '^kanso: ' "$WORK/said")"

# One of another version, and one of another user: neither is touched.
cp -a "$WORK/hurt" "$WORK/other"
echo "kanso cache 99" >"$WORK/other/format"
arguments "$WORK/other" "$WORK/p"
refused "a cache of another version" "not a cache of ours|kanso cache 99|--cache-dir" "$KANSO" "${ARGUMENTS[@]}"
holds "a cache of another version: $(grep '^kanso: ' "$WORK/said")"
cp "$WORK/hurt/format" "$WORK/other/format"
chown 12345 "$WORK/other"
find "$WORK/other" | sort | sha256sum >"$WORK/before"
refused "a cache of another user" "not a cache of ours|12345|--cache-dir" "$KANSO" "${ARGUMENTS[@]}"
find "$WORK/other" | sort | sha256sum | cmp - "$WORK/before" || fail "a cache of another user: it was changed"
holds "a cache of another user: $(grep '^kanso: ' "$WORK/said")"

# The clock went back: everything in the cache and in the sources is of next year.
find "$WORK/hurt" -exec touch -h -d '+1 year' {} +
project "$WORK/p" 2
find "$WORK/p" -exec touch -d '+1 year' {} +
right "a cache of next year" "$WORK/hurt" "$WORK/p" full 2
printf 'print("changed")\n' >"$WORK/p/src/module_1.py"
touch -d '+1 year' "$WORK/p/src/module_1.py"
right "sources of next year that change" "$WORK/hurt" "$WORK/p" full 2
KANSO_CACHE_LIMIT=1 "$KANSO" cache prune --cache-dir "$WORK/hurt" --keep-bytes 0 >/dev/null
[ "$(find "$WORK/hurt/blobs" -type f | wc -l)" = 0 ] || fail "a cache of next year: it cannot be pruned"
right "after that" "$WORK/hurt" "$WORK/p" full 2
holds "a clock that went back by a year: builds are right, and the cache can be pruned"
