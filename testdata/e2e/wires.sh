# shellcheck shell=bash
# What stands between kanso and a registry (testdata/e2e/wire), and Docker's own registry. Source lib.sh before it.

declare -A WIRES=() # processes by name

# wire_build: the program WIRE is there.
wire_build() {
	WIRE=$WORK/wire
	(cd "$ROOT" && "${GO:-go}" build -o "$WIRE" ./testdata/e2e/wire)
}

# wire NAME KIND OPTION...: it listens at AT.
wire() {
	local name=$1 i
	shift
	: >"$WORK/$name.wire"
	"$WIRE" "$@" >"$WORK/$name.wire" &
	WIRES[$name]=$!
	STARTED+=($!)
	for ((i = 0; i < 100; i++)); do
		AT=$(head -n 1 "$WORK/$name.wire")
		[ -n "$AT" ] && return
		sleep 0.05
	done
	fail "the wire $name does not say where it listens"
}

# wire_saw NAME: ends it; SAW is what it saw.
wire_saw() {
	kill "${WIRES[$1]}"
	wait "${WIRES[$1]}" 2>/dev/null || true
	SAW=$(tail -n 1 "$WORK/$1.wire")
}

# saw NAME: the number that follows a word in what the last one saw.
saw() { sed -n "s/.*\\b$1 \\([0-9]*\\).*/\\1/p" <<<"$SAW"; }

# docker_registry NAME [YAML]: Docker's registry, as Debian has it, listens at AT; YAML are lines below "http:" and further sections.
docker_registry() {
	local name=$1 i
	need docker-registry docker-registry
	AT=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir -p "$WORK/$name"
	cat >"$WORK/$name.yml" <<-YAML
		version: 0.1
		log: {level: info, accesslog: {disabled: false}}
		storage: {filesystem: {rootdirectory: $WORK/$name}}
		http:
		  addr: '$AT'
		${2:-}
	YAML
	docker-registry serve "$WORK/$name.yml" >"$WORK/$name.log" 2>&1 &
	WIRES[$name]=$!
	STARTED+=($!)
	for ((i = 0; i < 200; i++)); do
		if (exec 3<>"/dev/tcp/${AT/:/\/}") 2>/dev/null; then return; fi
		kill -0 "${WIRES[$name]}" 2>/dev/null || break
		sleep 0.05
	done
	cat "$WORK/$name.log" >&2
	fail "Docker's registry does not listen"
}
