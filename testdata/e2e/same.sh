#!/usr/bin/env bash
# Proves: the sample's image has one digest, whoever builds it and wherever: root and an ordinary user, two directories, a
# clone and a plain copy under umask 077, two time zones and locales, cold and warm; with pip and with uv.
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/users.sh"

[ "$(id -u)" = 0 ] || fail "only root can become another user"
need git git
ordinary_user kanso-test
workspace same
chmod 755 "$WORK"
install -m 755 "$KANSO" "$WORK/kanso"
KANSO=$WORK/kanso

# once NAME DIRECTORY COMMAND-PREFIX...: builds there, in the cache NAME, and prints the digest.
once() {
	local cache=$WORK/$1.cache dir=$2
	shift 2
	(cd "$dir" && "$@" "$KANSO" build --cache-dir "$cache" --base "$BASE" --config run.yaml --stack stack.yaml --pipeline training --progress plain) \
		2>"$WORK/log" || { cat "$WORK/log" >&2; fail "does not build"; }
}

for installer in uv pip; do
	say "== $installer"
	repository=$WORK/$installer
	sample "$repository/iris"
	sed -i "s/^  docker:/&\n    python_package_installer: $installer/" "$repository/iris/run.yaml"
	git -C "$repository" init -q
	git -C "$repository" add -A -f
	git -C "$repository" -c user.name=kanso -c user.email=kanso@example.com commit -q -m sample
	git clone -q "$repository" "$WORK/a-clone-$installer"
	(umask 077 && mkdir "$WORK/plain-$installer" && cp -R --no-preserve=mode,timestamps "$repository/iris" "$WORK/plain-$installer/copy")

	first=$(once "$installer" "$repository/iris" env TZ=UTC LC_ALL=C)
	say "  $first"
	same "warm, from a clone in another directory" "$first" "$(once "$installer" "$WORK/a-clone-$installer/iris" env TZ=UTC LC_ALL=C)"
	same "cold, a plain copy under umask 077, another time zone and locale" "$first" \
		"$(umask 077 && once "$installer-cold" "$WORK/plain-$installer/copy" env TZ=Pacific/Chatham LC_ALL=C.UTF-8 LANGUAGE=tr)"
	chown -R kanso-test: "$WORK/plain-$installer"
	mkdir "$WORK/$installer-user.cache" && chown kanso-test: "$WORK/$installer-user.cache"
	same "cold, an ordinary user" "$first" \
		"$(umask 077 && once "$installer-user" "$WORK/plain-$installer/copy" as_user kanso-test env TZ=America/St_Johns LC_ALL=C.UTF-8)"
	same "warm, an ordinary user" "$first" \
		"$(once "$installer-user" "$WORK/plain-$installer/copy" as_user kanso-test env TZ=UTC LC_ALL=C)"
done
