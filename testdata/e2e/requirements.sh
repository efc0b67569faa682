#!/usr/bin/env bash
# Proves: an install that starts from an earlier one gives what a cold one does, for fifty awkward changes of requirements.
#
#     requirements.sh [--as-user] [NAME...]     those changes; as the user kanso-test, if root says so
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/users.sh"

"$ROOT/testdata/e2e/base.sh"
need python3 python3
workspace requirements
as=()
if [ "${1:-}" = --as-user ]; then
	shift
	ordinary_user kanso-test
	chmod 755 "$WORK"
	mkdir "$WORK/own"
	cp "$KANSO" "$ROOT/testdata/e2e/requirements.py" "$WORK"
	KANSO=$WORK/${KANSO##*/}
	chown kanso-test: "$WORK/own"
	as=(as_user kanso-test)
	script=$WORK/requirements.py work=$WORK/own
else
	script=$ROOT/testdata/e2e/requirements.py work=$WORK
fi
export PYTHONDONTWRITEBYTECODE=1
cd "$work"
"${as[@]}" env -u KANSO_CACHE_DIR python3 "$script" --kanso "$KANSO" --base "$BASE" --work "$work" --jobs "${JOBS:-2}" "$@"
