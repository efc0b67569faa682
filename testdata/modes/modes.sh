#!/usr/bin/env bash
# Proves: the sandbox's other modes build the sample. In a container under Docker's default seccomp profile and capabilities
# (crun, the host's network): chroot as root; loader as another uid and as root without capabilities. As an ordinary user on
# the host with the cache on an overlayfs: tmpfs. What each builds runs the pipeline afterwards.
source "$(dirname "$0")/../e2e/lib.sh"
source "$ROOT/testdata/e2e/users.sh"

[ "$(id -u)" = 0 ] || fail "needs root"
"$ROOT/testdata/e2e/base.sh"
need crun crun
need umoci umoci
case $BASE in oci:*) ;; *) fail "KANSO_BASE is not an OCI layout" ;; esac
# Docker's own profile, as dockerd has it compiled in.
profile=$(cd "$ROOT" && GOFLAGS=-mod=mod go mod download -json github.com/moby/profiles/seccomp@v0.3.0 |
	sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')/default.json
[ -f "$profile" ] || fail "no seccomp profile at $profile"
ordinary_user kanso-test

workspace modes
chmod 755 "$WORK"
layout=${BASE#oci:}
tag=${layout##*:}
layout=${layout%:*}
umoci unpack --image "$layout:$tag" "$WORK/bundle" >/dev/null 2>&1
install -m 755 "$KANSO" "$WORK/kanso"
failed=0

# overlay DIR: an overlayfs is mounted there, on the base's tree.
overlay() {
	mkdir -p "$1" "$1.upper" "$1.work"
	mount -t overlay overlay -o "lowerdir=$WORK/bundle/rootfs,upperdir=$1.upper,workdir=$1.work" "$1"
	MOUNTED=("$1" "${MOUNTED[@]}")
}

result() { # NAME MODE LOG LAYOUT
	if ! grep -q -w "$2" "$WORK/$1.doctor"; then
		say "  FAILED: $1: the mode is not $2"
		cat "$WORK/$1.doctor"
		failed=1
	elif "$KANSO" run "oci:$4:1" -- env ZENML_ANALYTICS_OPT_IN=false python run.py >"$WORK/$1.out" 2>&1 && grep -q '^iris: ' "$WORK/$1.out"; then
		holds "$1: $2 has built $(cat "$4.digest"), which runs: $(grep '^iris: ' "$WORK/$1.out")"
	else
		say "  FAILED: $1: what $2 has built does not run"
		tail -n 20 "$WORK/$1.out"
		failed=1
	fi
}

build_arguments=(--base "oci:/base:$tag" --config run.yaml --stack stack.yaml --pipeline training --progress plain)

in_container() { # NAME MODE UID OPTION...
	local name=$1 mode=$2 uid=$3 dir=$WORK/$1
	shift 3
	mkdir "$dir"
	overlay "$dir/rootfs"
	sample "$dir/iris"
	mkdir -p "$dir/out" "$dir/rootfs/home/builder" "$dir/rootfs/base"
	chown -R "$uid:$uid" "$dir/iris" "$dir/out" "$dir/rootfs/home/builder"
	local lent=() v
	for v in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX; do
		if [ -n "${!v:-}" ]; then lent+=(--env "$v=${!v}"); fi
	done
	python3 "$ROOT/testdata/modes/config.py" --profile "$profile" --rootfs "$dir/rootfs" --uid "$uid" "$@" \
		--bind "$WORK/kanso:/usr/bin/kanso:ro" --bind "$layout:/base:ro" --bind "$dir/iris:/home/builder/iris" --bind "$dir/out:/out" \
		--bind /etc/resolv.conf:/etc/resolv.conf:ro --bind /etc/hosts:/etc/hosts:ro \
		--bind /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
		--env HOME=/home/builder --env PATH=/usr/local/bin:/usr/bin:/bin --cwd /home/builder/iris "${lent[@]}" \
		-- sh -c 'kanso doctor >/out/doctor 2>&1; exec kanso build "$@" --output oci:/out/layout:1 --digest-file /out/layout.digest' - "${build_arguments[@]}" \
		>"$dir/config.json"
	if ! with_cgroup2 crun --root "$WORK/crun" --cgroup-manager disabled run --bundle "$dir" "kanso-$name-$$" >"$dir/log" 2>&1; then
		cat "$dir/log"
		cat "$dir/out/doctor" 2>/dev/null || true
		say "  FAILED: $name: does not build"
		failed=1
		return
	fi
	cp "$dir/out/doctor" "$WORK/$name.doctor"
	result "$name" "$mode" "$dir/log" "$dir/out/layout"
}

in_container root chroot 0
in_container user loader 1234
in_container bare loader 0 --no-capabilities

# tmpfs: overlayfs refuses another overlayfs's directories for its upper.
dir=$WORK/tmpfs
mkdir -p "$dir/out"
overlay "$dir/rootfs"
mkdir "$dir/rootfs/cache"
sample "$dir/iris"
chown -R kanso-test: "$dir/iris" "$dir/rootfs/cache" "$dir/out"
build_arguments[1]=$BASE
(cd "$dir/iris" && as_user kanso-test "$WORK/kanso" doctor --cache-dir "$dir/rootfs/cache") >"$WORK/tmpfs.doctor" 2>&1 || true
if (cd "$dir/iris" && as_user kanso-test "$WORK/kanso" build --cache-dir "$dir/rootfs/cache" "${build_arguments[@]}" \
	--output "oci:$dir/out/layout:1" --digest-file "$dir/out/layout.digest") >"$dir/log" 2>&1; then
	result tmpfs tmpfs "$dir/log" "$dir/out/layout"
else
	cat "$dir/log"
	say "  FAILED: tmpfs: does not build"
	failed=1
fi
[ $failed = 0 ] || fail "see above"
