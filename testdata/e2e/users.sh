# shellcheck shell=bash
# Ordinary users to run things as, for scripts that root starts. Source lib.sh before it.

# ordinary_user NAME [SUBORDINATE]: the user is there, without subordinate ids or with those from SUBORDINATE on.
ordinary_user() {
	id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1"
	sed -i "/^$1:/d" /etc/subuid /etc/subgid # what useradd may have given it
	if [ -n "${2:-}" ]; then
		echo "$1:$2:65536" >>/etc/subuid
		echo "$1:$2:65536" >>/etc/subgid
	fi
}

# as_user NAME COMMAND...: with the environment, but for what names root's own directories.
as_user() {
	local user=$1 home
	shift
	home=$(getent passwd "$user" | cut -d: -f6)
	runuser -u "$user" -- env -u XDG_CACHE_HOME -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR -u KANSO_CACHE_DIR -u TMPDIR \
		-u GOPATH -u GOMODCACHE -u GOCACHE -u GOBIN HOME="$home" USER="$user" KANSO_TEST_CACHE="$CACHE" "$@"
}
