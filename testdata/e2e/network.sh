#!/usr/bin/env bash
# Proves: with --network none requirements come from a directory of wheels, and with --network proxy from an allowed index and
# no other, for pip, uv and apt; what is refused is named, and nothing of it is in the image.
source "$(dirname "$0")/lib.sh"

workspace network
mkdir -p "$WORK/index/simple/solo" "$WORK/out"
python3 - "$WORK/index/simple/solo" <<'PY'
import sys, zipfile
files = {
    "solo.py": "WHO = 'solo'\n",
    "solo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: solo\nVersion: 1.0\n",
    "solo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files["solo-1.0.dist-info/RECORD"] = "".join(f"{f},,\n" for f in files)
with zipfile.ZipFile(sys.argv[1] + "/solo-1.0-py3-none-any.whl", "w") as z:
    for file, content in files.items():
        z.writestr(file, content)
PY
python3 -m http.server --bind 127.0.0.1 --directory "$WORK/index" 0 >"$WORK/index.port" 2>"$WORK/index.log" &
STARTED+=($!)
while ! grep -q 'port [0-9]' "$WORK/index.port"; do
	kill -0 "${STARTED[-1]}" 2>/dev/null || fail "the index does not run"
	sleep 0.05
done
INDEX=127.0.0.1:$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$WORK/index.port")
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 PIP_DISABLE_PIP_VERSION_CHECK=1

for installer in pip uv; do
	plain "$WORK/$installer"
	cd "$WORK/$installer"
	cat >run.yaml <<YAML
settings:
  docker:
    python_package_installer: $installer
    install_stack_requirements: false
    allow_download_from_artifact_store: false
    requirements: [solo==1.0]
    local_project_install_command: python -c "import socket; socket.create_connection(('127.0.0.1', ${INDEX##*:}), 5)" && exit 1 || true
YAML
	unset PIP_FIND_LINKS PIP_NO_INDEX UV_CONFIG_FILE
	export PIP_INDEX_URL=http://$INDEX/simple UV_DEFAULT_INDEX=http://$INDEX/simple
	build --no-cache --network proxy --allow-host "$INDEX" --output "oci:$WORK/out/$installer:proxy" 2>"$WORK/log" || fail "$(tail -5 "$WORK/log")"
	same "$installer installs from the allowed index" solo "$("$KANSO" run "oci:$WORK/out/$installer:proxy" -- python -c 'import solo; print(solo.WHO)')"
	if "$KANSO" run "oci:$WORK/out/$installer:proxy" -- env | grep -i proxy | grep 3128; then fail "the proxy is in the image"; fi
	holds "and the proxy is not in the image"

	if build --no-cache --network proxy --allow-host pypi.example --output "oci:$WORK/out/$installer:refused" 2>"$WORK/log"; then fail "another index was reached"; fi
	grep -q "refused $INDEX" "$WORK/log" || fail "the refused host is not named: $(tail -5 "$WORK/log")"
	grep -q -e "--allow-host $INDEX" "$WORK/log" || fail "no hint names it"
	holds "$installer is refused another, and the error names it"

	if build --no-cache --network none --output "oci:$WORK/out/$installer:none" 2>"$WORK/log"; then fail "the index was reached without a network"; fi
	holds "$installer reaches nothing with --network none"
	unset PIP_INDEX_URL UV_DEFAULT_INDEX
	export PIP_NO_INDEX=1 PIP_FIND_LINKS=$WORK/index/simple/solo UV_CONFIG_FILE=$WORK/uv.toml
	printf 'no-index = true\nfind-links = ["%s"]\n' "$PIP_FIND_LINKS" >"$UV_CONFIG_FILE"
	build --no-cache --network none --output "oci:$WORK/out/$installer:wheels" 2>"$WORK/log" || fail "$(tail -5 "$WORK/log")"
	same "$installer installs from a directory of wheels without a network" solo "$("$KANSO" run "oci:$WORK/out/$installer:wheels" -- python -c 'import solo; print(solo.WHO)')"
done

# apt, of a Dockerfile: the first build's error names what to allow.
mkdir "$WORK/apt"
printf 'FROM base\nUSER root\nRUN apt-get update && apt-get install -y --no-install-recommends tree\nRUN tree --version\n' >"$WORK/apt/Dockerfile"
of_apt() {
	"$KANSO" build -f "$WORK/apt/Dockerfile" --build-context "base=oci-layout://${BASE#oci:}" --lend apt --network proxy --no-cache --progress plain \
		--output "oci:$WORK/out/apt:1" "$@" "$WORK/apt" >/dev/null 2>"$WORK/log"
}
if of_apt; then fail "apt reached what is not allowed"; fi
mapfile -t allow < <(grep -oE -- '--allow-host [^ ]+' "$WORK/log" | tr ' ' '\n')
[ ${#allow[@]} != 0 ] || fail "no hint names what apt was refused: $(tail -5 "$WORK/log")"
holds "apt is refused its archives, and the error says ${allow[*]}"
of_apt "${allow[@]}" || fail "$(tail -5 "$WORK/log")"
holds "apt installs from those that are allowed"
