#!/usr/bin/env bash
# Proves with real pip and uv: an image that was pushed with its statement is built again, identically, from another directory, by another user, under
# another umask and time zone, and without any cache; of one with a changed byte the file is named. SPDX's own validator takes the list of packages.
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/users.sh"

workspace verify
chmod 755 "$WORK"
registry_start "$WORK/registry"
sample "$WORK/iris"
cd "$WORK/iris"
name=$REGISTRY/team/iris

again() { # COMMAND...: kanso verify says identical
	local said
	said=$("$@" 2>"$WORK/log") || { cat "$WORK/log"; fail "$* ends with $?: $said"; }
	[ "$said" = "identical $(digest)" ] || { cat "$WORK/log"; fail "$* says: $said"; }
}

made() { # INSTALLER [ARGUMENT...]: an image is pushed with its statement
	build --installer "$1" -t "$name:$1" --provenance --sbom=added --push "${@:2}" 2>"$WORK/log" || { cat "$WORK/log"; fail "$1 builds nothing"; }
	[ "$(steps_run "$META")" -gt 0 ] || fail "the build ran no step"
}

# uv, with a requirement that needs others: another directory, umask and time zone, and nothing in the cache.
plain "$WORK/small"
mkdir -p "$WORK/elsewhere/deep"
cp -R "$WORK/small" "$WORK/elsewhere/deep/iris"
echo new >"$WORK/elsewhere/deep/iris/new.txt" # which is not in the image
cd "$WORK/small"
made uv --requirement 'sqlalchemy<2.1'
(cd "$WORK/elsewhere/deep/iris" && umask 027 && TZ=Asia/Kathmandu again "$KANSO" verify --cache-dir "$WORK/cold" --progress plain "$name:uv")
holds "uv: identical in another directory, under another umask, with nothing in the cache"

# pip, with the sample's requirements: another user, if there can be one.
cd "$WORK/iris"
made pip
digest >"$WORK/pip.digest"
if [ "$(id -u)" = 0 ]; then
	ordinary_user kanso-test
	cp "$KANSO" "$WORK/kanso"
	chmod 755 "$WORK/kanso"
	theirs=$(mktemp -d "${TMPDIR:-/var/tmp}/kanso-theirs.XXXXXX")
	cp -R "$WORK/iris" "$theirs/"
	chown -R kanso-test: "$theirs"
	chmod -R go-rwx "$theirs"
	again as_user kanso-test sh -c "umask 077 && cd '$theirs/iris' && exec '$WORK/kanso' verify --progress plain --cache-dir '$theirs/cache' '$name:pip'"
	rm -rf "$theirs"
	holds "pip: identical for another user, from files that only they can read"
else
	again "$KANSO" verify --progress plain "$name:pip"
	holds "pip: identical"
fi
python3 - "$REGISTRY" "$(digest)" <<'PY' || fail "the statement does not say what was installed"
import json, sys, urllib.request
host, digest = sys.argv[1:]
def get(path): return json.load(urllib.request.urlopen(f"http://{host}/v2/team/iris/{path}"))
for m in get(f"referrers/{digest}?artifactType=application/vnd.in-toto%2Bjson")["manifests"]:
    statement = get("blobs/" + get("manifests/" + m["digest"])["layers"][0]["digest"])
    found = {d["name"].split("==")[0]: d for d in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert len(found["scikit-learn"]["digest"]["sha256"]) == 64, found["scikit-learn"]
    assert found["numpy"]["annotations"]["record"].startswith("sha256:"), found["numpy"]
    sys.exit()
sys.exit("no statement")
PY
holds "pip: the statement has the wheels' hashes"

# Requirements with hashes: pip and uv take the archives that they know, and no others.
cd "$WORK/small"
locked() { # SHA256
	printf 'tabulate==0.9.0 \\\n    --hash=sha256:%s\n' "$1" >requirements.txt
}
for installer in pip uv; do
	locked 024ca478df22e9340661486f85298cff5f6dcdba14f3813e8830015b9ed1948f
	made $installer --require-hashes --requirements requirements.txt
	again "$KANSO" verify --progress plain "$name:$installer"
	holds "$installer: requirements with hashes, and identical again"
	locked 0000000000000000000000000000000000000000000000000000000000000000
	if "$KANSO" build --base "$BASE" --config run.yaml --installer $installer --require-hashes --requirements requirements.txt --progress plain >"$WORK/log" 2>&1; then
		fail "$installer installs what has another hash"
	fi
	grep -q -i hash "$WORK/log" || fail "$installer failed in another way: $(cat "$WORK/log")"
	holds "$installer: an archive with another hash is not installed"
done
cd "$WORK/iris"

# One byte of a file, in a layer that is pushed with a manifest and a configuration that match it.
PYTHONDONTWRITEBYTECODE=1 python3 "$ROOT/testdata/e2e/tamper.py" "$REGISTRY" team/iris "$(cat "$WORK/pip.digest")" changed app/run.py
if said=$("$KANSO" verify --progress plain "$name:changed" --statement "$name@$(cat "$WORK/pip.digest")" 2>"$WORK/log"); then fail "a changed byte is identical: $said"; fi
grep -q '^different: ' <<<"$said" || fail "verify failed in another way: $said $(cat "$WORK/log")"
grep -q '/app/run.py: content is sha256:' <<<"$said" || fail "verify does not name the file: $said"
same "and no other file" "$(grep -c ': /' <<<"$said")" 1
holds "a changed byte: $(grep -o 'layer.*/app/run.py: content' <<<"$said")"
if "$KANSO" verify --progress quiet "$name:changed" 2>"$WORK/log"; then fail "an image without a statement is identical"; fi
grep -q 'no statement' "$WORK/log" || fail "verify failed in another way: $(cat "$WORK/log")"
holds "an image without a statement says so"

# The list of packages of the whole image.
build --installer pip --sbom --output "oci:$WORK/out" 2>"$WORK/log" || { cat "$WORK/log"; fail "no layout was written"; }
python3 - "$WORK/out" >"$WORK/sbom.spdx.json" <<'PY'
import json, sys
def blob(d): return open(sys.argv[1] + "/blobs/" + d["digest"].replace(":", "/"), encoding="utf-8").read()
index = json.load(open(sys.argv[1] + "/index.json", encoding="utf-8"))
[listed] = [m for m in index["manifests"] if m["mediaType"].endswith("index.v1+json")]
[artifact] = [json.loads(blob(m)) for m in json.loads(blob(listed))["manifests"]]
sys.stdout.write(blob(artifact["layers"][0]))
PY
for want in pkg:pypi/scikit-learn@ pkg:pypi/zenml@ pkg:deb/debian/libc6@; do
	grep -q "$want" "$WORK/sbom.spdx.json" || fail "the list has no $want"
done
holds "the list of packages has pip's and dpkg's"
python3 -m venv "$WORK/venv"
"$WORK/venv/bin/pip" -q install spdx-tools==0.8.3
"$WORK/venv/bin/pyspdxtools" -i "$WORK/sbom.spdx.json" || fail "SPDX's validator refuses the list"
holds "SPDX's validator takes it"
