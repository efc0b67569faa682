#!/usr/bin/env bash
# Proves: with a real ZenML server on loopback, and its variables set, zenml stack describe inside kanso's image names the stack of
# the export, not the server's default; and no secret of the stack's components or of the client's configuration is in the image.
# Needs a package index the first time, and namespaces to run the image in.
source "$(dirname "$0")/../e2e/lib.sh"
source "$ROOT/testdata/zenml/lib.sh"
"$ROOT/testdata/e2e/base.sh"
zenml_venv "$ZENML"
workspace server
registry_start "$WORK/registry"
python=$VENV/bin/python
export ZENML_LOGGING_COLORS_DISABLED=true COLUMNS=200

# The server, with a database of its own; it is there as soon as it answers.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
mkdir "$WORK/server" "$WORK/out"
ZENML_CONFIG_PATH=$WORK/server ZENML_SERVER_AUTO_ACTIVATE=true ZENML_SERVER_DEPLOYMENT_TYPE=other \
	"$python" -m uvicorn zenml.zen_server.zen_server_api:app --host 127.0.0.1 --port "$port" >"$WORK/server.log" 2>&1 &
STARTED+=($!)
# answers METHOD PATH [FIELD...]: what the server answers, of its JSON the field.
answers() { "$python" "$ROOT/testdata/zenml/ask.py" "$url" "$@"; }
for ((i = 0; ; i++)); do
	if answers GET /health >/dev/null 2>&1; then break; fi
	kill -0 "${STARTED[0]}" 2>/dev/null || { cat "$WORK/server.log"; fail "the server ended"; }
	[ $i -lt 600 ] || { cat "$WORK/server.log"; fail "the server does not answer"; }
	sleep 0.5
done
key=$(answers key)

# A client that has the server's address and key in its configuration, and a stack whose components hold secrets.
token() { printf 'planted-%s-%s' "$1" "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"; }
component=$(token component) field=$(token field) configured=$(token configured)
printf '%s\n' "$key" "$component" "$field" "$configured" >"$WORK/planted"
export ZENML_CONFIG_PATH=$WORK/client
mkdir "$WORK/client"
"$python" - "$url" "$key" <<'PY'
import sys
from zenml.config.global_config import GlobalConfiguration
from zenml.zen_stores.rest_zen_store import RestZenStoreConfiguration
GlobalConfiguration().set_store(RestZenStoreConfiguration(url=sys.argv[1], api_key=sys.argv[2]))
PY
project=$WORK/iris
plain "$project"
zenml_client "$WORK/client" "$REGISTRY" "$project/stack.yaml"
(cd "$project" && "$VENV/bin/zenml" orchestrator update runner --run_args="{\"environment\": {\"TOKEN\": \"$component\"}}" &&
	"$VENV/bin/zenml" stack export test stack.yaml) >"$WORK/log" 2>&1 || { cat "$WORK/log"; fail "ZenML has not exported the stack"; }
grep -q -F "$component" "$project/stack.yaml" || fail "the export does not hold the component's secret"
python3 - "$project/stack.yaml" "$field" <<'PY'
import sys
file, secret = sys.argv[1:]
text = open(file).read()
open(file, "w").write(text.replace("      uri: ", "      password: %s\n      uri: " % secret, 1))
PY
grep -q -F "$field" "$project/stack.yaml" || fail "the export does not hold the field's secret"
# As older clients kept them: in the configuration itself.
sed -i "s/^store:/&\n  api_token: $configured\n  password: $configured/" "$WORK/client/config.yaml"
grep -q -F "$configured" "$WORK/client/config.yaml" || fail "the client's configuration does not hold the secret"
find "$WORK/client" -type f -exec grep -l -F "$key" {} + >/dev/null || fail "the client does not hold its key"

cd "$project"
printf 'active_project_id: null\nactive_stack_id: null\n' >.zen/config.yaml # the configuration alone is to say which stack it is
build -t "$REGISTRY/team/iris:1" --push --output "oci:$WORK/out/layout:1" 2>"$WORK/log" || { cat "$WORK/log"; fail "the build"; }
with=$REF
build -t "$REGISTRY/team/iris:2" --push --no-stack-config 2>"$WORK/log" || { cat "$WORK/log"; fail "the build without the configuration"; }
export ZENML_STORE_TYPE=rest ZENML_STORE_URL=$url ZENML_STORE_API_KEY=$key
describe() { # IMAGE
	"$KANSO" run --env ZENML_STORE_TYPE --env ZENML_STORE_URL --env ZENML_STORE_API_KEY --env ZENML_ANALYTICS_OPT_IN --env COLUMNS "$1" -- \
		sh -c "cd /tmp && exec zenml stack describe" 2>&1
}
told=$(describe "$with") || { say "$told"; fail "zenml stack describe in the image"; }
grep -q -E "'?test'? [Ss]tack|[Ss]tack '?test'?" <<<"$told" || { say "$told"; fail "the container's stack is not test"; }
holds "in the image: $(grep -E -o -m 1 "[Ss]tack '?test'?|'?test'? [Ss]tack" <<<"$told")"
told=$(describe "$REF") || { say "$told"; fail "zenml stack describe in the image without the configuration"; }
grep -q -E "'?default'? [Ss]tack|[Ss]tack '?default'?" <<<"$told" || { say "$told"; fail "without the configuration the stack is not default"; }
holds "without the configuration: default"

unset ZENML_STORE_TYPE ZENML_STORE_URL ZENML_STORE_API_KEY
python3 "$ROOT/testdata/e2e/planted.py" "$WORK/out" "$WORK/registry" "$KANSO_CACHE_DIR" <"$WORK/planted"
holds "no secret in the image, the registry and the cache"
