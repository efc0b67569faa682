#!/usr/bin/env bash
# There is a base image as ZenML publishes them, in the cache; made from Debian and PyPI once.
source "$(dirname "$0")/lib.sh"

[ -z "${KANSO_BASE:-}" ] || exit 0
layout=$CACHE/base
if [ ! -f "$layout/index.json" ]; then
	[ "$(id -u)" = 0 ] || fail "no base in $layout, and making one needs root
hint: let root run $0 once, or name a base: KANSO_BASE=oci:DIR:TAG"
	need python3 python3 ca-certificates
	need debootstrap debootstrap
	(umask 022 && mkdir -p "$CACHE" && cd "$ROOT/testdata/bootstrap" && PYTHONDONTWRITEBYTECODE=1 python3 base.py --version "$ZENML" "$layout")
	chmod -R a+rX "$layout"
fi
