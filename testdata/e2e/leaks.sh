#!/usr/bin/env bash
# Proves: secrets of ten kinds in ten places of the sources, and what steps write of them, are each found by path; they stop a push, and no
# log, error, report or registry has one. What distributions ship stops nothing.
source "$(dirname "$0")/lib.sh"

workspace leaks
plain "$WORK/iris"
cd "$WORK/iris"
registry_start "$WORK/registry"
mkdir "$WORK/out"

# places.txt has a path in the image for every secret, planted the secrets.
python3 - "$WORK" <<'PY'
import base64, json, os, random, string, sys
work, alnum, letters = sys.argv[1], string.ascii_letters + string.digits, string.ascii_letters
def of(n, chars=alnum):
    return "".join(random.SystemRandom().choice(chars) for _ in range(n))
def url64(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
def kinds():
    yield "aws", "aws_secret_access_key = {}", of(40)
    yield "gcp", '"private_key": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"', of(64)
    yield "azure", "DefaultEndpointsProtocol=https;AccountKey={};", of(86) + "=="
    yield "github", "{}", "ghp_" + of(36)
    yield "gitlab", "{}", "glpat-" + of(20)
    yield "slack", "{}", "xoxb-" + of(12, string.digits) + "-" + of(24)
    yield "huggingface", "{}", "hf_" + of(34, letters)
    yield "pypi", "{}", "pypi-AgEIcHlwaS5vcmc" + of(80)
    yield "jwt", "{}", url64({"alg": "RS256"}) + "." + url64({"sub": of(12)}) + "." + of(60)
    yield "url", "--extra-index-url https://ci:{}@pypi.example.com/simple", of(24)
places = {
    "config/{}.py": lambda s: f"import os\nX = '''{s}'''\n",
    "deploy/{}.yaml": lambda s: f"a:\n  b: {s}\n",
    "analysis/{}.ipynb": lambda s: json.dumps({"cells": [{"source": ["x = 1\n", s]}]}) if '"' not in s else '{"a": 1, ' + s + "}",
    "data/{}.bin": lambda s: "\0\1\2" * 1000 + s + "\0",
    "data/large {}.txt": lambda s: "0123456789abcde\n" * 150000 + s + "\n",
    "{}.sh": lambda s: f"#!/bin/sh\n# {s}\n",
    "tests/fixtures/{}.json": lambda s: '{"a": "b"}\n' + s,
    ".github/workflows/{}.yml": lambda s: f"env:\n  X: {s}\n",
    "docs/{}.md": lambda s: f"# Use\n\n    {s}\n",
    "deep/er/and/deeper/{}": lambda s: s,
}
found, planted = [], []
for place, content in places.items():
    for name, form, secret in kinds():
        path = place.format(name)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="latin-1", newline="") as file:
            file.write(content(form.format(secret)))
        found.append("/app/" + path)
        planted.append(secret)
with open(work + "/steps", "w", encoding="utf-8") as file:
    file.write("glpat-" + of(20))
planted.append(open(work + "/steps", encoding="utf-8").read())
open(work + "/places", "w", encoding="utf-8").write("\n".join(found) + "\n")
open(work + "/planted", "w", encoding="utf-8").write("\n".join(planted) + "\n")
PY

build --secret-scan warn --output "oci:$WORK/out/warned:1" 2>"$WORK/warnings"
while read -r place; do
	grep -q -F "the image has a secret: $place" "$WORK/warnings" || fail "$place is not found"
done <"$WORK/places"
same "secrets of ten kinds in ten places are found" 100 "$(wc -l <"$WORK/places")"
cp "$META" "$WORK/warned.json"

for when in first again; do
	if build -t "$REGISTRY/team/iris:1" --push 2>"$WORK/error.$when"; then fail "secrets were pushed"; fi
	grep -q 'secrets would go into the image: .*and [0-9]* more' "$WORK/error.$when" || fail "the error is: $(tail -3 "$WORK/error.$when")"
	holds "and stop a push, $when"
done

sample "$WORK/steps-project"
cd "$WORK/steps-project"
cat >run.yaml <<'YAML'
settings:
  docker:
    install_stack_requirements: false
    allow_download_from_artifact_store: false
    python_package_installer: pip
    requirements: [botocore, cryptography, requests, google-auth, PyJWT]
    local_project_install_command: |
      printf '[global]\nindex-url = https://ci:%s@pypi.example.com/simple\n' "$(cat /run/secrets/token)" >/etc/pip.conf && cp /run/secrets/token /usr/local/lib/token
YAML
if build -t "$REGISTRY/team/iris:2" --push --secret "id=token,src=$WORK/steps" 2>"$WORK/error.steps"; then fail "what a step wrote was pushed"; fi
grep -q '/etc/pip.conf:2: it has a' "$WORK/error.steps" || fail "pip.conf is not named: $(tail -3 "$WORK/error.steps")"
grep -q '/usr/local/lib/token:1: it has a GitLab token' "$WORK/error.steps" || fail "the token is not named: $(tail -3 "$WORK/error.steps")"
holds "what a step writes is found"
if grep -q 'secrets would go into the image.*site-packages' "$WORK/error.steps"; then fail "a distribution's own file is taken for a secret: $(tail -3 "$WORK/error.steps")"; fi
sed -i '/local_project/,$d' run.yaml
build -t "$REGISTRY/team/iris:3" --push 2>"$WORK/log.wheels" || fail "distributions stop a push: $(tail -3 "$WORK/log.wheels")"
holds "what botocore, cryptography, requests, google-auth and PyJWT ship stops nothing"

registry_stop
python3 "$ROOT/testdata/e2e/planted.py" "$WORK/registry" "$WORK/registry.log" "$WORK/warnings" "$WORK/warned.json" "$WORK/error.first" "$WORK/error.again" \
	"$WORK/error.steps" "$WORK/log.wheels" <"$WORK/planted" || fail "a secret is where it should not be"
holds "no secret in the registry, logs, errors and reports"
