#!/usr/bin/env bash
# Times kanso beside BuildKit, Buildah, Docker and kaniko; needs root, as buildkitd and dockerd do.
#
#     make bench                              every row
#     make bench ROWS=S2,S5 TOOLS=kanso,kanso-settings,buildkit,buildah N=3
#     make bench RECORD=1                     and keep the ratios as those that later runs are compared with, and README's table
#     make bench ROWS=big BIG=10G             how 2 GB and that much source are packed, beside pgzip
#
# BENCH_WORK is where everything goes, if not on file systems in files, which want 40 GB for all rows three times; KANIKO names kaniko's
# executor, BUILDKITD and BUILDCTL others than those of testdata/tools. A tool that is not there is left out.
source "$(dirname "$0")/../e2e/lib.sh"
here=$ROOT/testdata/bench
[ "$(id -u)" = 0 ] || fail "needs root"
rows=${ROWS:-S1-pip,S1-uv,S2,S3,S4-pip,S4-uv,S5,S6,S7}

if [ "$rows" = big ]; then
	exec "$here/big.sh" "${BIG:-10G}"
fi
"$ROOT/testdata/e2e/base.sh"
need python3 python3
need docker-registry docker-registry
need skopeo skopeo
need dockerd docker.io
export DOCKER=${DOCKER:-/usr/bin/docker} # the client of the same package: later ones build with a plugin that may not be there
need buildah buildah uidmap fuse-overlayfs crun
tools=${BUILDKIT_TOOLS:-$CACHE/tools}
if [ -x "$ROOT/testdata/tools/tools.sh" ]; then tools=$("$ROOT/testdata/tools/tools.sh"); fi
export KANSO BUILDKITD=${BUILDKITD:-$tools/buildkitd} BUILDCTL=${BUILDCTL:-$tools/buildctl}
[ -x "$BUILDKITD" ] || unset BUILDKITD BUILDCTL

# An account with subordinate ids, for rootless Buildah.
export BENCH_USER=${BENCH_USER:-kanso-bench}
if ! id "$BENCH_USER" >/dev/null 2>&1; then
	useradd --system --no-create-home --shell /usr/sbin/nologin "$BENCH_USER"
	usermod --add-subuids 200000-265535 --add-subgids 200000-265535 "$BENCH_USER"
fi

# The wheels, once: what is to be installed comes from an index on this machine.
wheels=$CACHE/wheels
lists=$(PYTHONDONTWRITEBYTECODE=1 python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import project as p; print(*p.REQUIREMENTS["real"], *p.REQUIREMENTS["small"], *p.EXTRA, "uv", "pip")' "$here")
if [ "$(cat "$wheels/list" 2>/dev/null)" != "$lists" ]; then
	mkdir -p "$wheels"
	python3 -m venv "$wheels/venv" || { need pip3 python3-venv && python3 -m venv "$wheels/venv"; }
	# shellcheck disable=SC2086 # a list
	"$wheels/venv/bin/pip" download -q --only-binary :all: --python-version "$PYTHON" --platform manylinux_2_28_x86_64 \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any -d "$wheels" $lists
	rm -rf "$wheels/venv"
	printf '%s' "$lists" >"$wheels/list"
fi
case ,$rows, in *,huge,*)
	ls "$wheels"/torchlike-*.whl >/dev/null 2>&1 || python3 "$here/gen.py" wheel "$wheels"
	;;
esac

# A file system of its own for what all share, and one for each state of a tool (tools.py says why).
if [ -z "${BENCH_WORK:-}" ]; then
	workspace bench
	chmod 755 "$WORK"
	free=$(df --output=avail -B1G "$WORK" | tail -1)
	[ "$free" -ge 40 ] || say "only $((free)) GB are free here: all rows three times need 40, and a disk that fills up ends the run" >&2
	mkdir "$WORK/fs" "$WORK/disks"
	export BENCH_DISKS=$WORK/disks
	truncate -s 80G "$WORK/disk" # sparse
	mkfs.ext4 -q -N 4000000 -E lazy_itable_init=0,lazy_journal_init=0 "$WORK/disk"
	mount -o loop "$WORK/disk" "$WORK/fs"
	MOUNTED+=("$WORK/fs")
	losetup --direct-io=on "$(findmnt -n -o SOURCE "$WORK/fs")" || true # else all is cached twice
	BENCH_WORK=$WORK/fs
fi
export BENCH_WORK PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
status=0
python3 "$here/bench.py" run --wheels "$wheels" --base "$BASE" --rows "$rows" ${TOOLS:+--tools "$TOOLS"} -n "${N:-3}" || status=$?
out=${BENCH_OUT:-$ROOT/bin}
mkdir -p "$out"
for f in results.json summary.json table.md; do
	if [ -e "$BENCH_WORK/$f" ]; then cp "$BENCH_WORK/$f" "$out/bench-$f"; fi
done
say "results: $out/bench-results.json, bench-summary.json, bench-table.md" >&2
exit $status
