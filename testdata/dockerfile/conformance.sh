#!/usr/bin/env bash
# Each Dockerfile in testdata/dockerfile/cases gives with kanso what it gives with BuildKit.
#
#   conformance.sh                 kanso's images are those that are recorded in the cases, root's and an ordinary user's
#   conformance.sh --reference     those that are recorded are BuildKit's; needs root, builds BuildKit once
#   conformance.sh --record        BuildKit is asked anew, and the cases are rewritten
#
# CASES=PATTERN says which.
source "$(dirname "$0")/../e2e/lib.sh"

"$ROOT/testdata/dockerfile/bases.sh"
"$ROOT/testdata/e2e/base.sh"
export CONFORMANCE=all KANSO_TEST_CACHE=$CACHE

# buildkit_start: a daemon of its own, whose socket and client are in the directory BUILDKIT.
buildkit_start() {
	local tools i
	[ "$(id -u)" = 0 ] || fail "BuildKit needs root"
	need runc runc
	need unshare util-linux
	need git git
	tools=$("$ROOT/testdata/tools/tools.sh")
	export BUILDKIT=$WORK/buildkit
	mkdir "$BUILDKIT"
	ln -s "$tools/buildctl" "$BUILDKIT/"
	: >"$BUILDKIT/config.toml"
	with_cgroup2 "$tools/buildkitd" --config "$BUILDKIT/config.toml" --root "$BUILDKIT/root" --addr "unix://$BUILDKIT/buildkitd.sock" \
		--containerd-worker=false --oci-worker-net=host --oci-worker-binary "$(command -v runc)" --cdi-disabled >"$BUILDKIT/log" 2>&1 &
	STARTED+=($!)
	for ((i = 0; i < 100; i++)); do
		"$BUILDKIT/buildctl" --addr "unix://$BUILDKIT/buildkitd.sock" debug workers >/dev/null 2>&1 && return
		kill -0 "${STARTED[-1]}" 2>/dev/null || break
		sleep 0.1
	done
	fail "buildkitd does not answer: $(cat "$BUILDKIT/log")"
}

# compared COMMAND...: the cases, by the test program that COMMAND runs in cmd/kanso.
compared() { "$@" "$WORK/kanso.test" -test.timeout 30m -test.run "TestDockerfiles/${CASES:-}|TestCasesCoverTheLanguage"; }

workspace conformance
(cd "$ROOT" && go test -c -o "$WORK/kanso.test" ./cmd/kanso)
cd "$ROOT/cmd/kanso"
case ${1:-} in
--reference)
	buildkit_start
	compared env
	;;
--record)
	buildkit_start
	UPDATE_ANSWERS=1 compared env
	;;
"")
	need git git
	compared "$ROOT/testdata/e2e/odd.sh"
	holds "as $(id -un)"
	[ "$(id -u)" = 0 ] || exit 0
	source "$ROOT/testdata/e2e/users.sh"
	ordinary_user kanso-test
	mkdir "$WORK/copy"
	(cd "$ROOT" && tar -cf - cmd/kanso testdata) | tar -xf - -C "$WORK/copy"
	chmod -R a+rX "$WORK"
	cd "$WORK/copy/cmd/kanso"
	compared as_user kanso-test "$WORK/copy/testdata/e2e/odd.sh"
	holds "as kanso-test"
	;;
*) fail "no such flag: $1" ;;
esac
