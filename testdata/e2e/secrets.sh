#!/usr/bin/env bash
# Proves: secrets reach the steps that need them and nothing else: not the image, its history, the log, an error, the cache.
source "$(dirname "$0")/lib.sh"

workspace secrets
plain "$WORK/iris"
cd "$WORK/iris"
registry_start "$WORK/registry"

token() { printf 'planted-%s-%s' "$1" "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"; }
password=$(token password) secret=$(token secret) index=$(token index) api=$(token api) stack=$(token stack) git=$(token git)
printf '%s\n' "$password" "$secret" "$index" "$api" "$stack" "$git" >"$WORK/planted"

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

settings() { # REQUIREMENT
	cat >run.yaml <<YAML
settings:
  docker:
    python_package_installer: pip
    install_stack_requirements: false
    allow_download_from_artifact_store: false
    requirements: [$1]
    local_project_install_command: test "\$(wc -c </run/secrets/token)" = ${#secret}
YAML
}

settings toolz==0.12.1
build -t "$REGISTRY/team/iris:1" --push --output "oci:$WORK/out/layout:1" --secret "id=token,src=$WORK/outside/secret" 2>"$WORK/log"
holds "a step has read the --secret file"
grep -q -s Basic "$WORK/index.log" || fail "pip did not use the index with its token"
holds "pip has used the index with its token"

settings kanso-no-such-package==1
if build --output "oci:$WORK/out/failed:1" --secret "id=token,src=$WORK/outside/secret" 2>"$WORK/error"; then fail "a missing package was installed"; fi
grep -q kanso-no-such-package "$WORK/error" || fail "the error does not name the package"
holds "a failing step is an error that names the package"

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
	"$WORK/log" "$WORK/error" "$WORK/git.error" "$WORK/metadata.json" <"$WORK/planted" || fail "a secret is where it should not be"
holds "no secret in image, registry, log, errors, cache"
