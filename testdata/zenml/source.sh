#!/usr/bin/env bash
# Proves: --pipeline-source gives the plan of ZenML's own compilation: what real ZenML hands to Docker when it runs the pipeline
# (oracle.py) is what kanso plan --pipeline-source --dockerfile writes, for the quickstart project, for settings on a pipeline and
# steps in Python, and for with_options, with ZenML 0.98 and older; and that it registers, uploads and runs nothing.
#     source.sh [VERSION...]
# Versions before 0.43 are not on the package index and are not compared here. Needs a package index the first time.
source "$(dirname "$0")/../e2e/lib.sh"
source "$ROOT/testdata/zenml/lib.sh"
"$ROOT/testdata/e2e/base.sh"
workspace source
if [ $# = 0 ]; then set -- 0.43.0 0.55.5 0.64.0 0.82.1 0.94.0 0.98.0; fi
export ZENML_LOGGING_VERBOSITY=ERROR

registry_start "$WORK/registry"

# compare NAME SOURCE [CONFIG]: of the project in PROJECTS or the sample.
compare() {
	local name=$1 dir=$WORK/$version/$1 from=$ROOT/testdata/zenml/projects/${1%-file} client
	[ "$name" != quickstart ] || from=$SAMPLE
	client=$dir/client
	mkdir -p "$dir"
	cp -R "$from" "$dir/project"
	find "$dir/project" -name __pycache__ -prune -exec rm -rf {} +
	cp -R "$WORK/$version/client" "$client"
	zenml_project "$dir/project" "$client"
	case $version in # that setting is of 0.64 (before, code was always included), and with_options called steps otherwise
	0.[45]*)
		find "$dir/project" -name "*.yaml" -exec sed -i /allow_download_from_artifact_store/d {} +
		find "$dir/project" -name flow.py -exec sed -i 's/^    steps=/    step_configurations=/' {} +
		;;
	esac
	export ZENML_CONFIG_PATH=$client
	(
		cd "$dir/project"
		zenml_rows "$client" >"$dir/before"
		find . | sort >"$dir/files"
		VIRTUAL_ENV=$VENV "$KANSO" plan --pipeline-source "$2" ${3:+--config "$3"} --mirror "index.docker.io=$REGISTRY" --dockerfile "$dir/kanso"
		find . | sort | cmp - "$dir/files"
		zenml_rows "$client" | diff "$dir/before" - || fail "$version: kanso has registered something"
		"$VENV/bin/python" "$ROOT/testdata/zenml/oracle.py" "$2" "${3:+$PWD/$3}" "$dir/zenml" >"$dir/log" 2>&1 ||
			{ cat "$dir/log"; fail "$version: ZenML has not built $name"; }
	)
	say "== ZenML $version, $name: $2 ${3:+with $3}"
	python3 "$ROOT/testdata/zenml/handed.py" "$dir/zenml" "$dir/kanso" || different+=("$version $name")
}

different=()
for version; do
	zenml_venv "$version"
	zenml_client "$WORK/$version/client" 127.0.0.1:5000
	python3 "$ROOT/testdata/e2e/push.py" "${BASE#oci:}" "$REGISTRY" zenmldocker/zenml "$version-py$PYTHON" >"$WORK/log"
	compare quickstart pipeline.py:training run.yaml
	compare settings run.py:forecast
	compare options flow.py:configured
	compare options-file flow.py:configured run.yaml
done
[ ${#different[@]} = 0 ] || fail "differ: ${different[*]}"
holds "the same plans; nothing registered, uploaded or run"
