# shellcheck shell=bash
# What the scripts about bad luck share: builds that are hurt, and what has to be right afterwards. Source lib.sh before it.

# hurt_setup NAME: a workspace with a registry and a base. KANSO is a copy of its own, by which its processes are known.
hurt_setup() {
	workspace "$1"
	mkdir -p "$WORK/bin"
	install -m 755 "$KANSO" "$WORK/bin/kanso"
	KANSO=$WORK/bin/kanso
	registry_start "$WORK/registry"
	"$ROOT/testdata/dockerfile/bases.sh"
	BUSYBOX=oci-layout://$CACHE/dockerfile/bases:busybox
}

# project DIR NUMBER: sources that differ by the number, in layers of all kinds, and steps that run.
project() {
	mkdir -p "$1/src" "$1/data"
	local i
	for i in 1 2 3 4 5 6; do
		printf 'print(%d, %d)\n' "$i" "$2" >"$1/src/module_$i.py"
		head -c 300000 < <(yes "row $i $(($2 / 3))" 2>/dev/null) >"$1/data/table_$i.csv"
	done
	cat >"$1/Dockerfile" <<-DOCKERFILE
		FROM busybox AS made
		RUN mkdir /made && for i in 1 2 3 4 5 6 7 8 9; do echo $(($2 / 2)) >/made/\$i; done
		FROM busybox
		WORKDIR /app
		RUN echo $(($2 / 4)) >/settings && mkdir /state && rm -rf /home
		COPY . .
		COPY --from=made /made /made
		RUN chmod -R a+rw .
		RUN cat src/module_1.py >>/state/log
	DOCKERFILE
}

# arguments CACHE DIR: ARGUMENTS build what DIR has.
arguments() {
	ARGUMENTS=(build --cache-dir "$1" -f "$2/Dockerfile" --build-context "busybox=$BUSYBOX" --progress quiet "$2")
}

# made CACHE DIR NAME: builds and pushes; prints the digest.
made() {
	arguments "$1" "$2"
	"$KANSO" "${ARGUMENTS[@]}" -t "$REGISTRY/team/$3:1" --push | sed 's/.*@//'
}

# right WHAT CACHE DIR NAME NUMBER: the build gives what one with a cache that was never hurt gives, bit by bit in the registry.
right() {
	local want got
	want=$(made "$WORK/whole" "$3" whole)
	got=$(made "$2" "$3" "$4") || fail "$1: the build fails"
	[ "$got" = "${want:?}" ] || fail "$1: $got instead of $want"
	[ "$("$KANSO" run --cache-dir "$2" "$REGISTRY/team/$4@$got" -- cat /made/9 /settings)" = "$(($5 / 2))"$'\n'"$(($5 / 4))" ] ||
		fail "$1: the image holds something else"
}

# blobs_whole WHAT DIR: every blob below the directory is what its name says.
blobs_whole() {
	local file
	while read -r file; do
		[ "$(sha256sum <"$file" | cut -d' ' -f1)" = "${file##*/}" ] || fail "$1: $file is something else"
	done < <(find "$2" -type f -path '*sha256/*' 2>/dev/null)
}

# nothing_left WHAT: no process of the builds is left but the registry, and no mount of theirs, here or in another namespace.
nothing_left() {
	local try left
	for ((try = 0; try < 100; try++)); do
		left=$(
			find /proc/[0-9]*/exe -maxdepth 0 -lname "$KANSO" ! -path "/proc/$REGISTRY_PID/exe" 2>/dev/null
			grep -l -s -E "$WORK/(hurt|place/cache)/" /proc/[0-9]*/mountinfo
		) || true
		[ -z "$left" ] && return
		sleep 0.05
	done
	fail "$1: still there: $left"
}
