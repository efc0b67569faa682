#!/usr/bin/env bash
# Proves that what make test tests holds for an ordinary user without subordinate ids: the same test programs and scripts,
# run as kanso-test from a copy.
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/users.sh"

[ "$(id -u)" = 0 ] || fail "only root can become another user"
user=kanso-test
ordinary_user "$user"
workspace user
chmod 755 "$WORK"
copy=$WORK/kanso
mkdir "$copy" "$WORK/tests"
(cd "$ROOT" && tar -cf - --exclude=./.git --exclude=./.quickstart .) | tar -xf - -C "$copy"
(cd "$ROOT" && go test -c -o "$WORK/tests/" ./...)
chown -R "$user": "$WORK"
chmod -R a+rX "$copy" "$WORK/tests"

failed=()
while read -r import dir; do
	test=$WORK/tests/${import##*/}.test
	[ -x "$test" ] || continue
	if (cd "$copy${dir#"$ROOT"}" && as_user "$user" "$copy/testdata/e2e/odd.sh" "$test" -test.timeout 10m) >"$WORK/out" 2>&1; then
		say "ok   $import as $user"
	else
		say "FAIL $import as $user"
		cat "$WORK/out"
		failed+=("$import")
	fi
done < <(cd "$ROOT" && go list -f '{{.ImportPath}} {{.Dir}}' ./...)
(cd "$copy" && as_user "$user" env -u KANSO testdata/e2e/odd.sh testdata/e2e/all.sh) || failed+=(e2e)
[ ${#failed[@]} = 0 ] || fail "as $user: ${failed[*]}"
