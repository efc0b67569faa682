#!/usr/bin/env bash
# Proves: what kanso builds of a case of ZenML's with --compat zenml, as root and as an ordinary user, is what Buildah builds of
# the Dockerfile and the context that kanso plan --dockerfile writes for it, as a tree and as a configuration.
#     cases.sh [NUMBER...]
# Needs root (buildah, from Debian's packages; only root can become another user) and a package index.
# What of a case cannot exist is replaced: case.py says what and why.
source "$(dirname "$0")/../e2e/lib.sh"
source "$ROOT/testdata/e2e/users.sh"
[ "$(id -u)" = 0 ] || fail "needs root"
"$ROOT/testdata/e2e/base.sh"
workspace cases
source "$ROOT/testdata/compare/lib.sh"

user=kanso-test
ordinary_user "$user"
chmod 755 "$WORK"
install -m 755 "$KANSO" "$WORK/kanso"
some=(--some)
if [ $# = 0 ]; then
	some=()
	set -- 05 06 07 12 13 16 19 23 46 56
fi

# prepare NUMBER: the projects of both, and what would have been handed to Docker.
prepare() {
	local case=$WORK/$1 a
	python3 "$ROOT/testdata/compare/case.py" "$(echo "$ROOT/testdata/zenml/cases/$1"-*)" "$case" "$BASE"
	cp -a "$case/project" "$case/project-$user"
	chown -R "$user": "$case/project-$user"
	mapfile -t a <"$case/arguments"
	(cd "$case/project" && PATH=$case/tools:$PATH "$WORK/kanso" plan --compat zenml "${a[@]}" --dockerfile "$case/plan")
}

# assemble WHO NUMBER CACHE PROJECT [COMMAND...]: kanso's own way, into the layout WHO below the case, one tag for each image.
assemble() {
	local who=$1 number=$2 case=$WORK/$2 cache=$3 project=$4 a
	shift 4
	mapfile -t a <"$case/arguments"
	# shellcheck disable=SC2016 # the inner shell expands them
	(cd "$project" && "$@" sh -c 'cd "$1" && shift && exec "$@"' - "$project" env PATH="$case/tools:$PATH" \
		"$WORK/kanso" build --compat zenml "${a[@]}" --cache-dir "$cache" --output "oci:$case/out-$who/layout" --progress plain) >"$case/$who.log" 2>&1 ||
		{ cat "$case/$who.log"; fail "case $number: the build as $who"; }
	python3 "$ROOT/testdata/compare/case.py" --tags "$case/out-$who/layout"
}

# as_root NUMBER...; as_ordinary NUMBER...; with_buildah NUMBER...: the three ways, each for all cases.
as_root() {
	local n
	for n; do
		mkdir "$WORK/$n/out-root"
		assemble root "$n" "$WORK/cache-root" "$WORK/$n/project"
	done
}

as_ordinary() {
	local n
	install -d -o "$user" "$WORK/cache-$user"
	for n; do
		install -d -o "$user" "$WORK/$n/out-$user"
		assemble "$user" "$n" "$WORK/cache-$user" "$WORK/$n/project-$user" as_user "$user"
	done
}

with_buildah() {
	local n b
	for n; do
		for b in "$WORK/$n/plan"/b*/; do
			b=$(basename "$b")
			mkdir "$WORK/$n/$b"
			tar -xpf "$WORK/$n/plan/$b/context.tar" -C "$WORK/$n/$b"
			buildah_build "$WORK/$n/$b" "$WORK/$n/buildah:$b" >"$WORK/$n/buildah.log" 2>&1 ||
				{ cat "$WORK/$n/buildah.log"; fail "case $n: Buildah's build of $b"; }
		done
	done
}

for n; do
	say "== $(basename "$ROOT/testdata/zenml/cases/$n"-*)"
	prepare "$n"
done
mkdir -p "$WORK/buildah"
declare -A ways=()
for way in as_root as_ordinary with_buildah; do
	(trap - EXIT; started=$SECONDS; "$way" "$@"; say "$way: $((SECONDS - started)) s") &
	ways[$way]=$!
done
for way in "${!ways[@]}"; do wait "${ways[$way]}" || fail "$way failed"; done

pairs=()
for n; do
	for b in "$WORK/$n"/b[0-9]*/; do
		b=$(basename "$b")
		pairs+=("$WORK/$n/buildah:$b" "$WORK/$n/out-root/layout:$b")
		mine=$(python3 "$ROOT/testdata/compare/tree.py" --digest "$WORK/$n/out-root/layout:$b")
		theirs=$(python3 "$ROOT/testdata/compare/tree.py" --digest "$WORK/$n/out-$user/layout:$b")
		if [ "$mine" = "$theirs" ]; then
			holds "case $n, $b: root and $user have built one image, $mine"
		else
			say "  case $n, $b: $user's image has another digest; its tree is compared"
			pairs+=("$WORK/$n/buildah:$b" "$WORK/$n/out-$user/layout:$b")
		fi
	done
done
python3 "$ROOT/testdata/compare/tree.py" --allowed "$ROOT/testdata/compare/allowed-cases.txt" "${some[@]}" "${pairs[@]}"
