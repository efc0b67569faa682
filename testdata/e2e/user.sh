#!/usr/bin/env bash
# What make test tests holds for an ordinary user without subordinate ids: the same test programs and scripts, run as kanso-test.
source "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || fail "only root can become another user"
user=kanso-test
if ! id "$user" >/dev/null 2>&1; then
	useradd --create-home --shell /bin/bash "$user"
fi
sed -i "/^$user:/d" /etc/subuid /etc/subgid # what useradd may have given it
home=$(getent passwd "$user" | cut -d: -f6)

workspace user
chmod 755 "$WORK"
copy=$WORK/kanso
mkdir "$copy"
(cd "$ROOT" && tar -cf - --exclude=./.git --exclude=./.quickstart .) | tar -xf - -C "$copy"
mkdir "$WORK/tests"
(cd "$ROOT" && go test -c -o "$WORK/tests/" ./...)
chown -R "$user": "$WORK"

as_user() { # DIR COMMAND...
	local dir=$1
	shift
	# shellcheck disable=SC2016 # the inner shell expands them
	runuser -u "$user" -- env -u XDG_CACHE_HOME -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR -u KANSO_CACHE_DIR -u GOPATH -u GOMODCACHE -u GOCACHE \
		HOME="$home" USER="$user" TMPDIR="$WORK" PATH="$PATH" KANSO_TEST_CACHE="$CACHE" \
		"$copy/testdata/e2e/odd.sh" bash -c 'cd "$1" && shift && exec "$@"' - "$dir" "$@"
}

failed=()
while read -r import dir; do
	test=$WORK/tests/${import##*/}.test
	[ -x "$test" ] || continue
	if as_user "$copy${dir#"$ROOT"}" "$test" -test.timeout 10m >"$WORK/out" 2>&1; then
		say "ok   $import as $user"
	else
		say "FAIL $import as $user"
		cat "$WORK/out"
		failed+=("$import")
	fi
done < <(cd "$ROOT" && go list -f '{{.ImportPath}} {{.Dir}}' ./...)
as_user "$copy" testdata/e2e/all.sh || failed+=(e2e)
[ ${#failed[@]} = 0 ] || fail "as $user: ${failed[*]}"
