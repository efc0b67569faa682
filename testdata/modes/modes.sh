#!/usr/bin/env bash
# Proves: the sandbox's other modes build the sample, with pip and with uv, and the program finds the mode. In containers under Docker's
# default seccomp profile (crun, the host's network): chroot as root, with all of Docker's capabilities or only those that a hint names;
# loader as another uid, as a restricted pod and as root without capabilities, where what is refused is refused with the YAML that
# would allow it. In containers without a profile: user namespaces as another uid. As an ordinary user on the host with the cache on an
# overlayfs: tmpfs. What each builds runs the pipeline afterwards.
#
#   modes.sh [NAME...]     only these
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

wanted=" $* "
asked() { [ "$wanted" = "  " ] || [[ "$wanted" == *" $1 "* ]]; }

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

# A requirement that comes without a wheel, whose setup.py tells that it ran.
mkdir -p "$WORK/sdist/nowheel-1.0"
printf 'open("/out/ran", "w").close()\nfrom setuptools import setup\nsetup(name="nowheel", version="1.0", py_modules=[])\n' >"$WORK/sdist/nowheel-1.0/setup.py"
printf 'Metadata-Version: 1.0\nName: nowheel\nVersion: 1.0\n' >"$WORK/sdist/nowheel-1.0/PKG-INFO"
tar -C "$WORK/sdist" -czf "$WORK/sdist/nowheel-1.0.tar.gz" nowheel-1.0

# container NAME UID OPTION... -- SCRIPT ARGUMENT...: runs the script in a container of its own, in a copy of the sample. What it
# prints is in $WORK/NAME/log.
container() {
	local name=$1 uid=$2 dir=$WORK/$1 options=()
	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	mkdir "$dir"
	overlay "$dir/rootfs"
	sample "$dir/iris"
	mkdir -p "$dir/out" "$dir/rootfs/home/builder" "$dir/rootfs/base" "$dir/rootfs/sdist"
	chown -R "$uid:$uid" "$dir/iris" "$dir/out" "$dir/rootfs/home/builder"
	local lent=() v
	for v in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX; do
		if [ -n "${!v:-}" ]; then lent+=(--env "$v=${!v}"); fi
	done
	python3 "$ROOT/testdata/modes/config.py" --profile "$profile" --rootfs "$dir/rootfs" --uid "$uid" "${options[@]}" \
		--bind "$WORK/kanso:/usr/bin/kanso:ro" --bind "$layout:/base:ro" --bind "$dir/iris:/home/builder/iris" --bind "$dir/out:/out" \
		--bind "$WORK/sdist:/sdist:ro" --bind /etc/resolv.conf:/etc/resolv.conf:ro --bind /etc/hosts:/etc/hosts:ro \
		--bind /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
		--env HOME=/home/builder --env PATH=/usr/local/bin:/usr/bin:/bin --cwd /home/builder/iris "${lent[@]}" \
		-- sh -c "$2" - "${@:3}" >"$dir/config.json"
	with_cgroup2 crun --root "$WORK/crun" --cgroup-manager disabled run --bundle "$dir" "kanso-$name-$$" >"$dir/log" 2>&1
}

in_container() { # NAME MODE UID OPTION... -- ARGUMENT...: builds the sample
	asked "$1" || return 0
	local name=$1 mode=$2 uid=$3 options=()
	shift 3
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	if ! container "$name" "$uid" "${options[@]}" -- \
		'kanso doctor >/out/doctor 2>&1; exec kanso build "$@" --output oci:/out/layout:1 --digest-file /out/layout.digest' "${build_arguments[@]}" "${@:2}"; then
		cat "$WORK/$name/log" "$WORK/$name/out/doctor" || true
		say "  FAILED: $name: does not build"
		failed=1
		return
	fi
	cp "$WORK/$name/out/doctor" "$WORK/$name.doctor"
	result "$name" "$mode" "$WORK/$name/log" "$WORK/$name/out/layout"
}

# refused NAME UID WORDS OPTION...: in that container no command can be run, which is said with the words (separated by |) of a hint.
refused() {
	asked "$1" || return 0
	local name=$1 uid=$2 words=$3
	if ! container "$name" "$uid" "${@:4}" --bind "$CACHE/dockerfile/bases:/bases:ro" -- \
		'printf "FROM box\nRUN true\n" >Dockerfile; ! kanso build -f Dockerfile --build-context box=oci-layout:///bases:busybox --output oci:/out/layout:1 .'; then
		say "  FAILED: $name: a command is run"
		cat "$WORK/$name/log"
		failed=1
		return
	fi
	says "$name" "the mode loader, the only one that works, can install wheels with pip or uv and nothing else|$words"
}

# says NAME WORDS: the log has them.
says() {
	local word IFS='|'
	for word in $2; do
		if ! grep -q -F -e "$word" "$WORK/$1/log"; then
			cat "$WORK/$1/log"
			say "  FAILED: $1: it does not say: $word"
			failed=1
			return
		fi
	done
	holds "$1: $2"
}

# no_wheel NAME UID WORDS OPTION...: a requirement that would have to be built is refused, and nothing of its code runs.
no_wheel() {
	asked "$1" || return 0
	local name=$1 uid=$2 words=$3
	# shellcheck disable=SC2016 # the shell in the container expands them
	if ! container "$name" "$uid" "${@:4}" -- '
		printf "settings:\n  docker:\n    install_stack_requirements: false\n    requirements: [nowheel @ file:///sdist/nowheel-1.0.tar.gz]\n" >run.yaml
		! kanso build "$@" --output oci:/out/layout:1' "${build_arguments[@]}" || [ -e "$WORK/$name/out/ran" ] || [ -e "$WORK/$name/out/layout" ]; then
		say "  FAILED: $name: something is built"
		cat "$WORK/$name/log"
		failed=1
		return
	fi
	says "$name" "the mode loader, the only one that works here, takes wheels and builds none|$words"
}

few=CHOWN,DAC_OVERRIDE,FOWNER,MKNOD,SETGID,SETUID,SYS_CHROOT
restricted=(--capabilities "" --no-new-privileges)
mkdir "$WORK/volume"
chown 1234:1234 "$WORK/volume"

in_container root chroot 0 -- --installer pip
in_container root-uv chroot 0 -- --installer uv
in_container root-few chroot 0 --capabilities "$few" -- --installer pip
in_container open tmpfs 1234 --unconfined -- --installer pip
in_container open-uv tmpfs 1234 --unconfined -- --installer uv
in_container open-volume overlay 1234 --unconfined --bind "$WORK/volume:/home/builder/.cache" -- --installer pip
in_container user loader 1234 -- --installer pip
in_container user-uv loader 1234 -- --installer uv
in_container restricted loader 1234 "${restricted[@]}" -- --installer pip
in_container bare loader 0 --capabilities "" -- --installer pip
"$ROOT/testdata/dockerfile/bases.sh"
namespaces="    securityContext:|      seccompProfile: {type: Unconfined}"
refused user-run 1234 "$namespaces"
refused restricted-run 1234 "$namespaces" "${restricted[@]}"
refused bare-run 0 "      capabilities: {drop: [ALL], add: [${few//,/, }]}|      runAsUser: 1000|      seccompProfile: {type: Unconfined}" --capabilities ""
refused bare-open-run 0 "    securityContext:|      runAsUser: 1000" --capabilities "" --unconfined
no_wheel user-source 1234 "$namespaces"

# tmpfs: overlayfs refuses another overlayfs's directories for its upper.
if ! asked tmpfs; then
	[ $failed = 0 ] || fail "see above"
	exit 0
fi
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
