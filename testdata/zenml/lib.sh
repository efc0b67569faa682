# shellcheck shell=bash
# Real ZenMLs from the package index, for the scripts beside this. Source testdata/e2e/lib.sh before it.

export PYTHONDONTWRITEBYTECODE=1 ZENML_ANALYTICS_OPT_IN=false AUTO_OPEN_DASHBOARD=false
unset ZENML_REPOSITORY_PATH ZENML_ACTIVE_STACK_ID ZENML_ACTIVE_PROJECT_ID VIRTUAL_ENV

# zenml_venv VERSION: VENV is an environment with ZenML's client and server of that version on Python 3.11, made once, and with what the sample project imports. Old
# versions name too few of their dependencies' versions: with those of today they do not start.
zenml_venv() {
	local pins=()
	VENV=$CACHE/zenml-$1
	[ ! -f "$VENV/complete" ] || return 0
	[ -w "$CACHE" ] || fail "no ZenML $1 in $CACHE; hint: let root run $0 once"
	need python3.11 python3.11-venv
	case $1 in
	0.4?.*) pins=('sqlmodel==0.0.8' 'sqlalchemy<2' 'bcrypt<4.1' 'setuptools<81') ;;
	0.5?.* | 0.6?.* | 0.7?.* | 0.8?.*) pins=('bcrypt<4.1' 'setuptools<81') ;;
	esac
	say "making $VENV"
	(
		umask 022
		rm -rf "$VENV"
		python3.11 -m venv "$VENV"
		"$VENV/bin/pip" install -q uv
		"$VENV/bin/uv" pip install -q --python "$VENV/bin/python" "zenml[server]==$1" scikit-learn "${pins[@]}"
	) >&2
	touch "$VENV/complete"
}

# zenml_client DIR REGISTRY [EXPORT [SOURCE]]: DIR is a client's configuration whose active stack stack.py has registered.
zenml_client() {
	local dir=$1
	shift
	mkdir -p "$dir"
	# What ZenML's many modules compile to is kept from here on, though not in a project, whose files are compared.
	unset PYTHONDONTWRITEBYTECODE
	export PYTHONPYCACHEPREFIX=$WORK/pycache
	ZENML_CONFIG_PATH=$dir ZENML_LOGGING_VERBOSITY=ERROR "$VENV/bin/python" "$ROOT/testdata/zenml/stack.py" "$@" >"$dir.log" 2>&1 ||
		{ cat "$dir.log"; fail "ZenML has not registered the stack"; }
}

# zenml_sql CLIENT SQL: what a client's database answers.
zenml_sql() {
	python3 - "$1/local_stores/default_zen_store/zenml.db" "$2" <<'PY'
import sqlite3, sys
for row in sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True).execute(sys.argv[2]):
    print(*row, sep="\t")
PY
}

# zenml_rows CLIENT: how many rows each table has, and what is in the local store.
zenml_rows() {
	local table
	for table in $(zenml_sql "$1" "select name from sqlite_master where type = 'table' order by name"); do
		printf '%s %s\n' "$table" "$(zenml_sql "$1" "select count(*) from \"$table\"")"
	done
	(cd "$1/local_stores" && find . -type f ! -name 'zenml.db*' | sort)
}

# zenml_project DIR CLIENT: DIR becomes a repository of ZenML's whose active stack is the client's.
zenml_project() {
	mkdir -p "$1/.zen"
	printf 'active_stack_id: %s\n' "$(zenml_sql "$2" "select id from stack where name = 'test'")" >"$1/.zen/config.yaml"
}
