#!/usr/bin/env bash
# Proves: packages that bring users, useradd, chown and pip give the same owners with one mapped id, with subordinate ids and
# as root. Exceptions are in ids-except.txt, each with a reason.
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/users.sh"

[ "$(id -u)" = 0 ] || fail "only root can become another user"
need python3 python3
need newuidmap uidmap
ordinary_user kanso-test
ordinary_user kanso-subid 300000
workspace ids
chmod 755 "$WORK"
install -m 755 "$KANSO" "$WORK/kanso"
KANSO=$WORK/kanso

settings() {
	cat <<YAML
settings:
  docker:
    install_stack_requirements: false
    allow_download_from_artifact_store: false
    python_package_installer: pip
    apt_packages: [man-db, openssh-client, dbus]
    requirements: [toolz==0.12.1]
    local_project_install_command: >-
      useradd -m worker && mkdir -p /srv/data/deep && touch /srv/data/file && ln -s file /srv/data/link
      && chown -R worker:games /srv/data && chown -h daemon /srv/data/link && chown :mail /srv/data/deep && chmod 2775 /srv/data/deep
YAML
}

images=()
for who in kanso-test:single kanso-subid:subuid root:auto; do
	user=${who%:*} ids=${who#*:}
	dir=$WORK/$user
	plain "$dir/iris"
	settings >"$dir/iris/run.yaml"
	chown -R "$user": "$dir"
	say "== $user, --ids $ids"
	(cd "$dir/iris" && as_user "$user" "$KANSO" build --cache-dir "$dir/cache" --ids "$ids" --base "$BASE" --config run.yaml \
		--stack stack.yaml --pipeline training --progress plain --output "oci:$dir/layout:1") 2>"$WORK/log" || { tail -n 40 "$WORK/log" >&2; fail "does not build"; }
	images+=("$dir/layout:1")
done
# A step that becomes somebody else needs more than one id: it is tried again with subordinate ones, where there are some.
cat >"$WORK/kanso-subid/iris/run.yaml" <<'YAML'
settings:
  docker:
    install_stack_requirements: false
    local_project_install_command: su -s /bin/sh games -c 'touch /var/tmp/mine'
YAML
(cd "$WORK/kanso-subid/iris" && as_user kanso-subid "$KANSO" build --cache-dir "$WORK/kanso-subid/cache" --base "$BASE" --config run.yaml \
	--stack stack.yaml --progress plain --output "oci:$WORK/kanso-subid/again:1") 2>"$WORK/log" || { tail -n 40 "$WORK/log" >&2; fail "a step that needs ids does not build"; }
grep -q 'try again with subordinate ids' "$WORK/log" || fail "it was not tried again"
holds "a step that needs more than one id is tried again with subordinate ids"

tree() { python3 "$ROOT/testdata/compare/tree.py" "$@"; }
tree --owners --allowed "$ROOT/testdata/e2e/ids-except.txt" "${images[1]}" "${images[0]}" "${images[2]}" "${images[0]}"
holds "owners are the same"
# That there is something to be equal: owners that are not root's.
for path in srv/data srv/data/file srv/data/link srv/data/deep home/worker usr/lib/dbus-1.0/dbus-daemon-launch-helper var/cache/man; do
	tree --show "$path" "${images[0]}" "${images[1]}" | sed 's/^/    /'
	if tree --show "$path" "${images[0]}" "${images[1]}" | grep ' 0:0 ' >/dev/null; then fail "$path belongs to root"; fi
done
