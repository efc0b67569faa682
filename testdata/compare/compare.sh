#!/usr/bin/env bash
# Proves: kanso's image is the one that ZenML's own Dockerfile gives with Buildah on the same base, as a tree and as a
# configuration, but for the differences in allowed.txt. With pip and uv, sources included, and a user named.
# Needs root (buildah, from Debian's packages) and a package index.
source "$(dirname "$0")/../e2e/lib.sh"
[ "$(id -u)" = 0 ] || fail "needs root"
"$ROOT/testdata/e2e/base.sh"
workspace compare
source "$ROOT/testdata/compare/lib.sh"

pairs=()
for variant in uv pip user; do
	project=$WORK/$variant/iris
	sample "$project"
	{
		printf 'settings:\n  docker:\n    requirements:\n    - scikit-learn\n'
		printf '    allow_download_from_artifact_store: false\n    environment:\n      omp_num_threads: 1\n'
		case $variant in
		pip) printf '    python_package_installer: pip\n' ;;
		user) printf '    user: games\n    runtime_environment:\n      STAGE: run\n' ;;
		esac
	} >"$project/run.yaml"
	say "== $variant"
	zenml_context "$project" "$WORK/$variant/context"
	sed 's/^/    /' "$WORK/$variant/context/Dockerfile"
	say
	buildah_build "$WORK/$variant/context" "$WORK/$variant/buildah:1"
	(cd "$project" && build --output "oci:$WORK/$variant/kanso:1")
	pairs+=("$WORK/$variant/buildah:1" "$WORK/$variant/kanso:1")
done
python3 "$ROOT/testdata/compare/tree.py" --allowed "$ROOT/testdata/compare/allowed.txt" "${pairs[@]}"
