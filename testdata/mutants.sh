#!/usr/bin/env bash
# Proves that guards are tested: each is taken away in a copy of the sources, and the tests of its package have to fail.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
git ls-files -z -- '*.go' 'oci/*.py' go.mod go.sum ':!testdata' | tar -cf - --null -T - | tar -xf - -C "$work"
status=0

mutant() { # WHAT FILE OLD NEW TESTS
	local file=$work/$2 text
	text=$(cat "$file"; echo x)
	text=${text%x}
	if [[ "$text" != *"$3"* ]]; then
		echo "GONE   $1: $2 has no $3"
		status=1
		return
	fi
	printf '%s' "${text/"$3"/"$4"}" >"$file"
	if ! (cd "$work" && "${GO:-go}" vet "./$(dirname "$2")" >"$work/out" 2>&1); then
		echo "BROKEN $1: it does not build"
		cat "$work/out"
		status=1
	elif (cd "$work" && timeout 70 "${GO:-go}" test -timeout 60s "./$(dirname "$2")" -run "$5" >"$work/out" 2>&1); then
		echo "LIVES  $1: no test fails without it"
		status=1
	else
		echo "killed $1: $(grep -m1 -oE -- '--- FAIL: \S+/\S+|--- FAIL: \S+|panic: .*' "$work/out" || echo 'out of time')"
	fi
	cp "$2" "$file"
}

mutant "links in an archive end at its root" layers/unpack_linux.go \
	'	dir, name := path.Split(e.Path)
	if e.Opaque' '	dir, name := path.Split(e.Path)
	if d := strings.TrimSuffix(dir, "/"); d != "" {
		u.real[d] = d
	}
	if e.Opaque' 'TestUnpackNever|TestAttacksOnThePlace'
mutant "contents have a limit" layers/list.go \
	'h.Size < 0 || bytes < 0 || bytes > l.Bytes' 'h.Size < 0' 'TestAttacks|TestUnpackHasLimits'
mutant "a blob has its digest and size" oci/read.go \
	'c.n > c.want.Size' 'false && c.n > c.want.Size' 'TestRegistriesThatAreWrong'
mutant "a base is the one of the statement" oci/moved.go \
	'b.Digest != want' 'false && b.Digest != want' 'TestBasesOfThen'
mutant "layers are compared by what they are" oci/compare.go \
	'ids[i].String() != id' 'false' 'TestDifferencesAreNamed'
mutant "a diff id is what was read" oci/read.go \
	'got != d.want.Hex' 'false && got != d.want.Hex' 'TestAConfigurationSays'
mutant "plain HTTP has to be allowed" oci/guard.go \
	'r.URL.Scheme != "https" && !plainAllowed' 'false && !plainAllowed' 'TestPlainHTTP'
mutant "redirects end" oci/guard.go \
	'redirects++; redirects > maxRedirects' 'redirects++; false' 'TestRegistriesThatAreWrong'
mutant "realms are of the registry's domain" oci/realm.go \
	'!related(host, u.Host) &&' 'false &&' 'TestRealms'
mutant "addresses are judged as they are connected with" oci/routes.go \
	'judged.Control = judge(reach(from))' '_ = judge' 'TestARegistryLeads'
mutant "connections of both kinds are not shared" oci/routes.go \
	't.far[from].RoundTrip(r)' 't.own.RoundTrip(r)' 'TestARegistryLeads'
mutant "a layer holds what its key says" oci/unchanged.go \
	'f.whole && !f.same' 'false && !f.same' 'TestAFileThatChanges|TestHostileContext'
mutant "without locks nobody's files are removed" layers/cache/cache.go \
	'd.clean(scratchDir, l.none)' 'd.clean(scratchDir, false)' 'TestWithoutLocks'
mutant "an installer of wheels starts no process" layers/sandbox/child_wheels_linux.go \
	'err := forkNothing()' 'var err error' 'TestAnInstallerOfWheels'
mutant "a registry may not be silent" oci/watch.go \
	'func() { cancel(&StalledError{r.URL.Host, answer}) }' 'func() {}' 'TestRegistriesThatBreakOff'
mutant "an image is no index" oci/read.go \
	'm.Manifests != nil && (' 'false && (' 'TestManifestsThatAreWrong'
mutant "what is sent again is sent whole" oci/watch.go \
	'r.GetBody != nil && r.ContentLength != 0' 'r.GetBody != nil && r.ContentLength != 0 && r.Header.Get("Content-Range") == ""' 'TestAnUploadGoesOn'
mutant "no path is owned twice, now and before" oci/joined.go \
	'ok && !layers.SameDirectory(was, f)' 'ok && f.Mode.IsDir() && !layers.SameDirectory(was, f)' 'TestAnInstallStartsFromAnEarlierOne/overlay_one_path'
mutant "what was installed now is looked at" oci/joined.go \
	'	if err := j.checkAdded(); err != nil {
		return nil, nil, err
	}
' '' 'TestAnInstallStartsFromAnEarlierOne/overlay_a_path_file'
exit $status
