#!/usr/bin/env bash
# Proves: a real ZenML takes kanso's record of a build, zenml pipeline run --build FILE, in default mode and with --compat zenml:
# it resolves kanso's digests (its log and its database say so), and the pipeline's steps run in these images. A record without
# an image is refused by ZenML, other settings and another version are told of, as with records of its own.
# ZenML's store is local; the stack's registry is kanso's; its orchestrator runs each image with kanso run (runner.py).
# Needs a package index the first time, and namespaces to run the images in.
source "$(dirname "$0")/../e2e/lib.sh"
source "$ROOT/testdata/zenml/lib.sh"
"$ROOT/testdata/e2e/base.sh"
zenml_venv "$ZENML"
workspace record
registry_start "$WORK/registry"
client=$WORK/client
project=$WORK/project
mkdir -p "$project/.zen"
export KANSO ZENML_CONFIG_PATH=$client ZENML_LOGGING_COLORS_DISABLED=true COLUMNS=1000
cp -R "$ROOT/testdata/zenml/projects/record/." "$project"
cp "$ROOT/testdata/zenml/runner.py" "$project/"
cd "$project"
zenml_client "$client" "$REGISTRY" "$WORK/stack.yaml" runner.Flavor
zenml_project "$project" "$client"

# run NAME [COMMAND...]: ZenML runs the pipeline with the record, its log is LOG, whether it succeeds is the status.
run() {
	LOG=$WORK/$1.log
	shift
	"$@" "$VENV/bin/zenml" pipeline run flow.report --config run.yaml --build "$WORK/record.yaml" >"$LOG" 2>&1
}

# says WHAT TEXT: it is in the log of the last run.
says() { grep -q -F -e "$2" "$LOG" || { cat "$LOG"; fail "$1: the log does not say: $2"; }; }

for mode in default zenml; do
	flags=()
	[ $mode = default ] || flags=(--compat zenml)
	"$KANSO" build --base "$BASE" --config run.yaml --stack "$WORK/stack.yaml" --zenml-version "$ZENML" --python "$PYTHON" \
		--pipeline report --step read --step show --push --build-record "$WORK/record.yaml" --progress plain "${flags[@]}" >"$WORK/images" 2>"$WORK/build.log" ||
		{ cat "$WORK/build.log"; fail "the build"; }
	run "$mode" env || { cat "$LOG"; fail "$mode: ZenML has not run the pipeline"; }
	[ "$(wc -l <"$WORK/images")" = 2 ] || fail "$mode: expected two images, one of them the step show's own"
	while read -r image; do
		says "$mode" "$image"
		[ "$(zenml_sql "$client" "select count(*) from pipeline_build where images like '%$image%'")" = 1 ] || fail "$mode: ZenML's database does not have $image"
		holds "$mode: ZenML resolves $image"
	done <"$WORK/images"
	says "$mode" "kanso runs step read in $(sed -n 1p "$WORK/images")"
	says "$mode" "kanso runs step show in $(sed -n 2p "$WORK/images")"
	says "$mode" "show: 3 rows read in /app"
	if grep -F 'not the same as' "$LOG"; then fail "$mode: ZenML takes the images for others"; fi
	if [ $mode = zenml ] && grep -F 'contains code' "$LOG"; then fail "$mode: the images contain code"; fi
	holds "$mode: the steps have run in kanso's images"
done
same "runs that completed" "completed completed" "$(zenml_sql "$client" "select status from pipeline_run" | xargs)"

# What ZenML says of a record that does not fit. No step has to run for that.
cp "$WORK/record.yaml" "$WORK/whole.yaml"
change() { # PYTHON: the record, changed
	"$VENV/bin/python" - "$WORK/whole.yaml" "$WORK/record.yaml" "$1" <<'PY'
import sys, yaml
old, new, change = sys.argv[1:]
record = yaml.safe_load(open(old))
exec(change)
yaml.safe_dump(record, open(new, "w"))
PY
}
change 'del record["images"]["orchestrator"]'
if run missing env KANSO=false; then fail "a record without the pipeline's image is taken"; fi
says missing "missing an image for key: orchestrator"
holds "a record without an image is refused by ZenML"
change 'record["images"]["orchestrator"]["settings_checksum"] = "0" * 32'
if run settings env KANSO=false; then fail "the steps have run without a program to run them"; fi
says settings "not the same as currently specified for your pipeline"
holds "ZenML tells of other settings"
change 'record["zenml_version"] = "0.97.0"'
if run version env KANSO=false; then fail "the steps have run without a program to run them"; fi
says version "ZenML version (different than the local version): 0.97.0"
holds "ZenML tells of another version"
