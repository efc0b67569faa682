#!/usr/bin/env bash
# There are the bases of the Dockerfiles in this directory, in the cache; made from Debian's busybox-static.
source "$(dirname "$0")/../e2e/lib.sh"

bases=$CACHE/dockerfile/bases
made=$(sha256sum "$ROOT/testdata/dockerfile/bases.py" | cut -c 1-64)
[ "$(cat "$bases/made" 2>/dev/null)" != "$made" ] || exit 0
need python3 python3
[ -d /usr/share/doc/busybox-static ] || need busybox-static busybox-static
umask 022
mkdir -p "${bases%/*}"
new=$(mktemp -d "$bases.XXXXXX")
PYTHONDONTWRITEBYTECODE=1 python3 "$ROOT/testdata/dockerfile/bases.py" "$new" /bin/busybox
printf '%s\n' "$made" >"$new/made"
chmod -R a+rX "$new"
rm -rf "$bases"
mv "$new" "$bases"
