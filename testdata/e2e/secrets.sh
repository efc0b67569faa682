#!/usr/bin/env bash
# Proves: secrets that are lent, of eleven kinds, reach the steps that need them and nothing else: not the image, its history, the log, an
# error, a plan, the report, the registry, the cache.
source "$(dirname "$0")/lib.sh"

workspace secrets
plain "$WORK/iris"
cd "$WORK/iris"
registry_start "$WORK/registry"

token() { printf 'planted-%s-%s' "$1" "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"; }
password=$(token password) secret=$(token secret) index=$(token index) api=$(token api) stack=$(token stack) git=$(token git)
variable=$(token variable) netrc=$(token netrc) conf=$(token conf) toml=$(token toml) environment=$(token environment) argument=$(token argument)
printf '%s\n' "$password" "$secret" "$index" "$api" "$stack" "$git" "$variable" "$netrc" "$conf" "$toml" "$environment" "$argument" >"$WORK/planted"

mkdir "$WORK/docker" "$WORK/zenml" "$WORK/empty" "$WORK/outside" "$WORK/out"
export DOCKER_CONFIG=$WORK/docker ZENML_CONFIG_PATH=$WORK/zenml
printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY" "$(printf 'user:%s' "$password" | base64 -w0)" >"$WORK/docker/config.json"
printf 'store:\n  type: rest\n  url: http://127.0.0.1:1\n  api_token: %s\n' "$api" >"$WORK/zenml/config.yaml"
printf '%s' "$secret" >"$WORK/outside/secret"
cat >stack.yaml <<YAML
components:
  artifact_store:
  - configuration: {path: "s3://bucket", key: user, secret: "$stack"}
    flavor: s3
    name: store
    type: artifact_store
  orchestrator:
  - configuration: {}
    flavor: local_docker
    name: docker
    type: orchestrator
stack_name: secrets
zenml_version: $ZENML
YAML

# An index that has nothing and asks for a password, so that what it was told can be seen.
python3 - "$WORK/index.log" >"$WORK/index.port" <<'PY' &
import http.server, sys
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = self.headers.get("Authorization")
        with open(sys.argv[1], "a", encoding="utf-8") as log:
            print(told, file=log)
        self.send_response(404 if told else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
print(server.server_port, flush=True)
server.serve_forever()
PY
STARTED+=($!)
while [ ! -s "$WORK/index.port" ]; do sleep 0.05; done
PIP_EXTRA_INDEX_URL=http://user:$index@127.0.0.1:$(cat "$WORK/index.port")/simple
export PIP_EXTRA_INDEX_URL
printf 'machine index.example.com login me password %s\n' "$netrc" >"$WORK/netrc"
printf '[install]\nextra-index-url = https://user:%s@index.example.com/simple\n' "$conf" >"$WORK/pip.conf"
printf 'extra-index-url = ["https://user:%s@index.example.com/simple"]\n' "$toml" >"$WORK/uv.toml"
export NETRC=$WORK/netrc PIP_CONFIG_FILE=$WORK/pip.conf UV_CONFIG_FILE=$WORK/uv.toml VARIABLE=$variable

settings() { # REQUIREMENT
	cat >run.yaml <<YAML
settings:
  docker:
    python_package_installer: pip
    install_stack_requirements: false
    allow_download_from_artifact_store: false
    requirements: [$1]
    environment: {PRIVATE_INDEX: "https://user:$environment@index.example.com/simple"}
    local_project_install_command: test "\$(wc -c </run/secrets/token)" = ${#secret} && cat /run/secrets/variable && env | grep PRIVATE_INDEX && cat /run/kanso/netrc /run/kanso/pip.conf
YAML
}

settings toolz==0.12.1
if KANSO_CACHE_DIR=$WORK/refused build --output "oci:$WORK/out/run:1" --secret "id=token,src=$WORK/outside/secret" --secret id=variable,env=VARIABLE 2>"$WORK/run.error"; then fail "a run configuration with a password went in"; fi
grep -q '/app/run.yaml:[0-9]*: it has a URL with a password' "$WORK/run.error" || fail "run.yaml is not named: $(cat "$WORK/run.error")"
holds "a run configuration with a password in it stays out"
echo run.yaml >>.dockerignore
build -t "$REGISTRY/team/iris:1" --push --output "oci:$WORK/out/layout:1" --secret "id=token,src=$WORK/outside/secret" --secret id=variable,env=VARIABLE 2>"$WORK/log"
[ "$(grep -c '[*][*][*]' "$WORK/log")" -ge 3 ] || fail "what a step prints of secrets is not masked, or it has none: $(cat "$WORK/log")"
holds "a step has read the --secret file, and what it prints of what it was lent is masked"
for form in "" --json --explain; do
	# shellcheck disable=SC2086 # a flag or none
	"$KANSO" plan --base "$BASE" --config run.yaml --stack stack.yaml --pipeline training $form >>"$WORK/plan" 2>&1
done
holds "it is planned"
grep -q -s Basic "$WORK/index.log" || fail "pip did not use the index with its token"
holds "pip has used the index with its token"

settings kanso-no-such-package==1
if build --output "oci:$WORK/out/failed:1" --secret "id=token,src=$WORK/outside/secret" 2>"$WORK/error"; then fail "a missing package was installed"; fi
grep -q kanso-no-such-package "$WORK/error" || fail "the error does not name the package"
holds "a failing step is an error that names the package"

mkdir "$WORK/own"
cat >"$WORK/own/Dockerfile" <<'DOCKERFILE'
FROM base
ARG API_TOKEN
RUN --mount=type=secret,id=variable echo "build argument $API_TOKEN, secret $(cat /run/secrets/variable)"
DOCKERFILE
"$KANSO" build -f "$WORK/own/Dockerfile" --build-context "base=oci-layout://${BASE#oci:}" --build-arg "API_TOKEN=$argument" --secret id=variable,env=VARIABLE \
	-t "$REGISTRY/team/own:1" --push --metadata-file "$WORK/own.json" --progress plain "$WORK/own" 2>"$WORK/own.log" >/dev/null
grep -q 'build argument [*]*, secret [*]' "$WORK/own.log" || fail "the RUN has no secrets: $(cat "$WORK/own.log")"
holds "a RUN has a build argument and a secret, and prints neither"

plain "$WORK/leaky"
cd "$WORK/leaky"
mkdir .git
printf '[remote "origin"]\n\turl = https://user:%s@example.com/team/iris.git\n' "$git" >.git/config
if build --output "oci:$WORK/out/leaky:1" 2>"$WORK/git.error"; then fail "a token in .git/config went through"; fi
grep -q '\.git/config' "$WORK/git.error" || fail "the error does not name .git/config: $(cat "$WORK/git.error")"
holds "a token in .git/config stops the build"

registry_stop
chmod -R u+rwX "$WORK/cache" "$WORK/out" 2>/dev/null || true
python3 "$ROOT/testdata/e2e/planted.py" "$WORK/out" "$WORK/registry" "$WORK/registry.log" "$WORK/cache" \
	"$WORK/log" "$WORK/error" "$WORK/git.error" "$WORK/metadata.json" "$WORK/plan" "$WORK/own.log" "$WORK/own.json" "$WORK/run.error" <"$WORK/planted" || fail "a secret is where it should not be"
holds "no secret in image, registry, log, errors, plans, reports, cache"
