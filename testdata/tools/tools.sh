#!/usr/bin/env bash
# BuildKit of the release whose parser kanso imports, in the cache: the reference of testdata/dockerfile. Built once.
# Prints the directory that buildkitd and buildctl are in.
source "$(dirname "$0")/../e2e/lib.sh"

here=$ROOT/testdata/tools
version=$(sed -n 's#.*github.com/moby/buildkit \(v[^ ]*\).*#\1#p' "$ROOT/go.mod")
grep -q "github.com/moby/buildkit $version" "$here/go.mod" ||
	fail "testdata/tools/go.mod has another BuildKit than go.mod, which has $version"
tools=$CACHE/tools
if [ "$(cat "$tools/version" 2>/dev/null)" != "$version" ]; then
	mkdir -p "$tools"
	(cd "$here" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$tools/" \
		github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl) >&2
	chmod a+rx "$tools" "$tools"/build*
	printf '%s\n' "$version" >"$tools/version"
fi
printf '%s\n' "$tools"
