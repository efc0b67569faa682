#!/usr/bin/env bash
# Proves: Docker's registry, as Debian has it, is built for, pushed to and pulled from with TLS, passwords, tokens, client certificates,
# through a proxy and as a mirror; what it refuses is known before anything is built, in words that are compared.
source "$(dirname "$0")/lib.sh"
source "$ROOT/testdata/e2e/wires.sh"

workspace registries
wire_build
need htpasswd apache2-utils
unset HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
mkdir "$WORK/certs" "$WORK/strangers" "$WORK/p" "$WORK/none" "$WORK/docker"
"$WIRE" certs "$WORK/certs"
"$WIRE" certs "$WORK/strangers"
export DOCKER_CONFIG=$WORK/docker HOME=$WORK
printf 'FROM scratch\nCOPY data /data\n' >"$WORK/p/Dockerfile"
head -c 300000 /dev/urandom >"$WORK/p/data"
printf 'FROM busybox\nRUN echo it runs\n' >"$WORK/run"
"$ROOT/testdata/dockerfile/bases.sh"
failed=0

# login HOST USER PASSWORD: what docker login writes down; without a user nobody is logged in.
login() {
	if [ -z "${2:-}" ]; then
		echo '{}' >"$DOCKER_CONFIG/config.json"
	else
		printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$1" "$(printf '%s:%s' "$2" "$3" | base64 -w0)" >"$DOCKER_CONFIG/config.json"
	fi
}
login nobody

# works WHAT REF OPTION...: it is pushed there and pulled from there, by a kanso that knows nothing.
works() {
	local what=$1 ref=$2 pushed
	shift 2
	if ! pushed=$("$KANSO" build --cache-dir "$WORK/cache" --progress quiet -f "$WORK/p/Dockerfile" -t "$ref" --push "$@" "$WORK/p" 2>"$WORK/said"); then
		problem "$what: the push fails"
		return
	fi
	rm -rf "$WORK/fresh" "$WORK/out"
	if ! "$KANSO" build --cache-dir "$WORK/fresh" --progress quiet -f - --output "oci:$WORK/out:1" "$@" "$WORK/none" <<<"FROM $pushed" >/dev/null 2>"$WORK/said"; then
		problem "$what: the pull fails"
		return
	fi
	if ! python3 - "$WORK/out" "$WORK/p/data" <<-'PY' >"$WORK/said" 2>&1; then
		import json, pathlib, sys, tarfile
		root = pathlib.Path(sys.argv[1])
		def blob(digest): return root / "blobs" / digest.replace(":", "/")
		manifest = json.loads(blob(json.loads((root / "index.json").read_text())["manifests"][0]["digest"]).read_text())
		with tarfile.open(blob(manifest["layers"][0]["digest"])) as layer:
		    assert layer.extractfile("data").read() == pathlib.Path(sys.argv[2]).read_bytes(), "it holds something else"
	PY
		problem "$what: what is pulled is something else"
		return
	fi
	holds "$what"
}

problem() {
	say "  FAILED: $*"
	sed 's/^/      /' "$WORK/said"
	failed=1
}

# refused WHAT REF OPTION... <<TEXT: before anything is run; what is said is the text, in which HOST stands for the registry.
refused() {
	local what=$1 ref=$2 want host=${2%%/*}
	shift 2
	want=$(cat)
	rm -rf "$WORK/fresh"
	if "$KANSO" build --cache-dir "$WORK/fresh" --progress plain -f "$WORK/run" --build-context "busybox=oci-layout://$CACHE/dockerfile/bases:busybox" \
		-t "$ref" --push "$@" "$WORK/none" >"$WORK/said" 2>&1; then
		problem "$what: it is pushed"
	elif [ -n "$(find "$WORK/fresh/layers" -type f)" ] || grep -q RUN "$WORK/said"; then
		problem "$what: something was run first"
	elif ! sed "s#$host#HOST#g; s#${TOKENS:-nowhere}#TOKENS#g; s#$WORK#WORK#g" "$WORK/said" | diff <(echo "$want") - >"$WORK/other"; then
		cp "$WORK/other" "$WORK/said"
		problem "$what: it is said in other words"
	else
		holds "$what: $(grep -m 1 '^kanso: ' <<<"$want")"
	fi
}

tls="  tls: {certificate: $WORK/certs/server.pem, key: $WORK/certs/server.key}"
ca=(--ca-cert "$WORK/certs/ca.pem")

# Plain, on this machine.
docker_registry plain
plain=$AT
works "plain HTTP on this machine" "$plain/a/b:1"

# TLS with an authority of one's own.
docker_registry tls "$tls"
works "TLS by an authority of one's own" "$AT/a/b:1" "${ca[@]}"
refused "TLS by an authority that is not known" "$AT/a/b:1" <<'TEXT'
   layers made before: base HOST/a/b:1: Get "https://HOST/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority
kanso: push to HOST/a/b: Get "https://HOST/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority
hint: --ca-cert FILE names an authority of your own, in PEM
TEXT

# Passwords.
htpasswd -nbB me 'pass:word' >"$WORK/htpasswd" 2>/dev/null
docker_registry basic "$tls
auth: {htpasswd: {realm: here, path: $WORK/htpasswd}}"
login "$AT" me 'pass:word'
works "a password" "$AT/a/b:1" "${ca[@]}"
login "$AT" me 'wrong'
refused "a wrong password" "$AT/a/b:1" "${ca[@]}" <<'TEXT'
   layers made before: base HOST/a/b:1: GET https://HOST/v2/a/b/manifests/1: UNAUTHORIZED: authentication required
kanso: push to HOST/a/b: the registry refuses it (401): authentication required
hint: access was denied: kanso doctor HOST says which credentials are used; log in with others, or name another repository with -t
TEXT
login nobody
refused "nobody logged in" "$AT/a/b:1" "${ca[@]}" <<'TEXT'
   layers made before: base HOST/a/b:1: GET https://HOST/v2/a/b/manifests/1: UNAUTHORIZED: authentication required
kanso: push to HOST/a/b: the registry refuses it (401): authentication required
hint: access was denied: kanso doctor HOST says which credentials are used; log in with others, or name another repository with -t
TEXT

# Tokens.
wire tokens tokens --user 'me:pass:word' --issuer us --cert "$WORK/certs/server.pem" --key "$WORK/certs/server.key"
TOKENS=$AT
token_auth="auth: {token: {realm: 'http://$TOKENS/token', service: here, issuer: us, rootcertbundle: $WORK/certs/ca.pem}}"
docker_registry token "$token_auth"
login "$AT" me 'pass:word'
works "tokens" "$AT/a/b:1"
refused "tokens that are for reading only" "$AT/readonly/b:1" <<'TEXT'
kanso: push to HOST/readonly/b: the registry refuses it (401): authentication required
hint: access was denied: kanso doctor HOST says which credentials are used; log in with others, or name another repository with -t
TEXT
login "$AT" me 'wrong'
refused "tokens, and a wrong password" "$AT/a/b:1" <<'TEXT'
   layers made before: base HOST/a/b:1: GET http://TOKENS/token: UNAUTHORIZED: incorrect username or password
kanso: push to HOST/a/b: the registry refuses it (401): incorrect username or password
hint: access was denied: kanso doctor HOST says which credentials are used; log in with others, or name another repository with -t
TEXT
login nobody
refused "tokens, and nobody logged in" "$AT/a/b:1" <<'TEXT'
   layers made before: base HOST/a/b:1: GET http://TOKENS/token: UNAUTHORIZED: incorrect username or password
kanso: push to HOST/a/b: the registry refuses it (401): incorrect username or password
hint: access was denied: kanso doctor HOST says which credentials are used; log in with others, or name another repository with -t
TEXT

# A token that expires during an upload: the registry grants a minute more than it says, of which three seconds are left.
wire short tokens --user 'me:pass:word' --issuer us --cert "$WORK/certs/server.pem" --key "$WORK/certs/server.key" --life -57s
docker_registry expiring "auth: {token: {realm: 'http://$AT/token', service: here, issuer: us, rootcertbundle: $WORK/certs/ca.pem}}"
wire slow cut --to "$AT" --rate 5000000
login "$AT" me 'pass:word'
cp "$WORK/p/data" "$WORK/data"
head -c 30000000 /dev/urandom >"$WORK/p/data"
works "a token that expires during an upload" "$AT/a/b:1"
cp "$WORK/data" "$WORK/p/data"
wire_saw short
[ "$(saw given)" -ge 4 ] || { problem "no token expired: $SAW"; }
login nobody

# Client certificates.
wire front front --to "$plain" --cert "$WORK/certs/server.pem" --key "$WORK/certs/server.key" --clients "$WORK/certs/ca.pem"
works "client certificates" "$AT/c/d:1" "${ca[@]}" --client-cert "$WORK/certs/client.both"
refused "client certificates, and none shown" "$AT/c/d:1" "${ca[@]}" <<'TEXT'
   layers made before: base HOST/c/d:1: Get "https://HOST/v2/": remote error: tls: certificate required
kanso: push to HOST/c/d: Get "https://HOST/v2/": remote error: tls: certificate required
hint: --client-cert FILE shows the registry a certificate, with its key, that it trusts
TEXT
refused "client certificates of another authority" "$AT/c/d:1" "${ca[@]}" --client-cert "$WORK/strangers/client.both" <<'TEXT'
   layers made before: base HOST/c/d:1: Get "https://HOST/v2/": remote error: tls: unknown certificate authority
kanso: push to HOST/c/d: Get "https://HOST/v2/": remote error: tls: unknown certificate authority
hint: --client-cert FILE shows the registry a certificate, with its key, that it trusts
TEXT

# A proxy: by CONNECT to a registry with TLS that only the proxy knows, and by plain HTTP.
docker_registry far "$tls"
wire connect connect --test "$AT"
export HTTPS_PROXY=http://$AT
works "a proxy, by CONNECT" "registry.test/a/b:1" "${ca[@]}"
wire_saw connect
[ "$(saw connects)" -gt 0 ] || problem "the proxy was not asked: $SAW"
wire connect connect --test "$plain"
export HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://$AT
works "a proxy, by plain HTTP" "registry.test/e/f:1" --insecure registry.test
wire_saw connect
[ "$(saw plain)" -gt 0 ] || problem "the proxy was not asked: $SAW"
refused "a proxy that is down" "registry.test/a/b:1" <<'TEXT'
   layers made before: base HOST/a/b:1: Get "https://HOST/v2/": proxyconnect tcp: dial tcp 127.0.0.1:9: connect: connection refused
kanso: push to HOST/a/b: Get "https://HOST/v2/": proxyconnect tcp: dial tcp 127.0.0.1:9: connect: connection refused
hint: the proxy that HTTPS_PROXY or HTTP_PROXY names cannot be reached; NO_PROXY names hosts that need none
TEXT
unset HTTPS_PROXY HTTP_PROXY

# Mirrors, in their order: one that is down, one that knows nothing, one that gets what it does not have from another registry.
"$KANSO" build --cache-dir "$WORK/cache" --progress quiet -f "$WORK/p/Dockerfile" -t "$plain/library/thing:1" --push "$WORK/p" >/dev/null
docker_registry through "proxy: {remoteurl: 'http://$plain'}"
through=$AT
docker_registry empty
mirrors=(--mirror docker.io=127.0.0.1:9 --mirror "docker.io=$AT" --mirror "docker.io=$through")
"$KANSO" build --cache-dir "$WORK/mirrored" --progress plain -f - --output "oci:$WORK/mirrored.oci:1" "${mirrors[@]}" "$WORK/none" <<<"FROM thing:1" >"$WORK/said" 2>&1 ||
	problem "mirrors: the pull fails"
for word in "mirror 127.0.0.1:9: " "mirror $AT: "; do
	grep -q -F "$word" "$WORK/said" || problem "mirrors: it does not say $word"
done
[ -e "$WORK/mirrored.oci/index.json" ] || problem "mirrors: nothing came"
holds "mirrors, in their order"
refused "a mirror is not pushed to" "$through/new/b:1" <<'TEXT'
kanso: push to HOST/new/b: the registry refuses it (405): The operation is unsupported.
hint: nothing can be pushed there, as with a mirror or a registry that is read-only: -t names another place
TEXT

[ $failed = 0 ] || fail "see above"
