#!/usr/bin/env bash
# Proves: an install that starts from an earlier one gives what a cold one does, for fifty awkward changes of requirements.
source "$(dirname "$0")/lib.sh"

"$ROOT/testdata/e2e/base.sh"
need python3 python3
workspace requirements
export PYTHONDONTWRITEBYTECODE=1
env -u KANSO_CACHE_DIR python3 "$ROOT/testdata/e2e/requirements.py" --kanso "$KANSO" --base "$BASE" --work "$WORK" --jobs "${JOBS:-2}" "$@"
