#!/usr/bin/env bash
# Proves: what one project's build installs, with a hostile wheel and a hostile setup.py, changes nothing of what another project's
# next build on the same cache installs; and an image under another tag of the repository feeds no build that does not name it.
source "$(dirname "$0")/lib.sh"

workspace poison
registry_start "$WORK/registry"
mkdir "$WORK/index"

# Two indexes with the same name and version in them: one wheel is good, the other one says that it is not.
python3 - "$WORK/index" <<'PY'
import io, os, sys, tarfile, zipfile
root = sys.argv[1]

def wheel(index, name, text):
    files = {
        f"{name}/__init__.py": text,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{name}-1.0.dist-info/RECORD"] = "".join(f"{f},,\n" for f in files)
    os.makedirs(f"{root}/{index}/{name}", exist_ok=True)
    with zipfile.ZipFile(f"{root}/{index}/{name}/{name}-1.0-py3-none-any.whl", "w") as z:
        for file, content in files.items():
            z.writestr(file, content)

wheel("good", "victim", "WHOSE = 'good'\n")
wheel("evil", "victim", "WHOSE = 'evil'\n")

# A source distribution whose setup.py writes wherever it can.
setup = '''
import glob, os, shutil, zipfile
def build_wheel(directory, *_):
    here = glob.glob("/run/kanso/**", recursive=True)
    for name in [os.environ.get("PIP_CACHE_DIR"), os.environ.get("UV_CACHE_DIR"), "/run/kanso/cache", "/tmp", "/var/cache/apt", os.path.expanduser("~/.cache")] + here:
        if not name:
            continue
        try:
            if os.path.isdir(name):
                open(os.path.join(name, "planted-by-evil"), "w").write("evil")
            elif name.endswith((".whl", ".body")):
                open(name, "wb").write(b"evil")
        except OSError:
            pass
    file = "evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, file), "w") as z:
        z.writestr("evil.py", "")
        z.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0\\n")
        z.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        z.writestr("evil-1.0.dist-info/RECORD", "")
    return file
'''
project = '[build-system]\nrequires = []\nbuild-backend = "setup"\nbackend-path = ["."]\n[project]\nname = "evil"\nversion = "1.0"\n'
os.makedirs(f"{root}/evil/evil")
with tarfile.open(f"{root}/evil/evil/evil-1.0.tar.gz", "w:gz") as t:
    for name, text in {"setup.py": setup, "pyproject.toml": project, "PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"}.items():
        info = tarfile.TarInfo("evil-1.0/" + name)
        info.size = len(text)
        t.addfile(info, io.BytesIO(text.encode()))
PY
python3 -m http.server --bind 127.0.0.1 --directory "$WORK/index" 0 >"$WORK/index.port" 2>"$WORK/index.log" &
STARTED+=($!)
while ! grep -q 'port [0-9]' "$WORK/index.port"; do
	kill -0 "${STARTED[-1]}" 2>/dev/null || fail "the index does not run"
	sleep 0.05
done
INDEX=http://127.0.0.1:$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$WORK/index.port")

# project NAME INSTALLER REQUIREMENTS: a project that is built with the index of its name.
project() {
	plain "$WORK/$1"
	cd "$WORK/$1"
	cat >run.yaml <<YAML
settings:
  docker:
    python_package_installer: $2
    install_stack_requirements: false
    allow_download_from_artifact_store: false
    requirements: [$3]
YAML
}
whose() { "$KANSO" run "$1" -- python -c 'import victim; print(victim.WHOSE)'; }
ran() { steps_run "$META"; }

for installer in pip uv; do
	index() { export PIP_INDEX_URL=$INDEX/$1 UV_DEFAULT_INDEX=$INDEX/$1 PIP_DISABLE_PIP_VERSION_CHECK=1; }
	out=$WORK/out-$installer
	mkdir -p "$out"

	project "evil" $installer "victim==1.0, evil==1.0"
	index evil
	build --output "oci:$out/evil:1" 2>"$WORK/evil.log" || fail "the hostile project does not build: $(tail -3 "$WORK/evil.log")"
	project "evil" $installer "victim==1.0"
	build --output "oci:$out/evil:2" 2>"$WORK/evil.log"
	same "$installer: what the hostile project installs" evil "$(whose "oci:$out/evil:2")"
	[ -n "$(find "$WORK/cache/packages" -name planted-by-evil -print -quit)" ] || fail "the setup.py did nothing"

	project "good" $installer "victim==1.0"
	cat >>run.yaml <<'YAML'
    local_project_install_command: if find /run/kanso /tmp /root /var/cache -name planted-by-evil | grep .; then exit 1; fi
YAML
	index good
	build --output "oci:$out/good:1" 2>"$WORK/good.log" || fail "the other project does not build: $(tail -3 "$WORK/good.log")"
	same "$installer: what the next project installs, from its own index" good "$(whose "oci:$out/good:1")"
	holds "$installer: and it sees nothing of the hostile project's caches"
	build --output "oci:$out/good:2" 2>"$WORK/good.log"
	same "$installer: and again nothing, from the cache" 0 "$(ran)"
done

# The same project and the same requirements, pushed under another tag by somebody whose index is another one.
project "evil" pip "victim==1.0"
index evil
build -t "$REGISTRY/team/iris:evil" --push 2>"$WORK/evil.log"
project "good" pip "victim==1.0"
index good
for named in "" "--cache-from $REGISTRY/team/iris:evil"; do
	export KANSO_CACHE_DIR=$WORK/fresh$((${#named} > 0))
	# shellcheck disable=SC2086 # a flag and its value
	build -t "$REGISTRY/team/iris:good$((${#named} > 0))" --push $named 2>"$WORK/good.log"
	case $named in
	"") same "a fresh machine takes nothing from another tag" good "$(whose "$REF")" ;;
	*) same "unless it is named" evil "$(whose "$REF")" ;;
	esac
done
