# kanso: what can be made. Everything needs Go and make; what else a script needs it installs with apt, as root.

GO ?= go
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

RACE ?= ./...

export CGO_ENABLED := 0
BUILD = $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: build quickstart test test-self test-user test-race lint cross lowered compare zenml modes memory bench requirements soak hurt fuzz-strangers resume conformance fuzz mutants clean

build:
	$(BUILD) -o bin/kanso ./cmd/kanso

# A sample pipeline's image: built, pushed, exported and run, without Docker.
quickstart: build
	testdata/quickstart.sh

# Everything that is tested: as who you are and, if you are root, as an ordinary user, too.
test: test-self
	if [ "$$(id -u)" = 0 ]; then $(MAKE) test-user; fi

test-self: build
	$(GO) vet ./...
	testdata/e2e/base.sh
	testdata/dockerfile/bases.sh
	testdata/e2e/odd.sh $(GO) test ./...
	testdata/e2e/odd.sh testdata/e2e/all.sh

# As the user kanso-test, who has no subordinate ids, from a copy that it can read.
test-user: build
	testdata/e2e/base.sh
	testdata/dockerfile/bases.sh
	testdata/e2e/user.sh

# The race detector needs cgo and a C compiler. What oci's tests start in sandboxes is not instrumented, and nothing
# sleeps a second when it ends.
test-race:
	plain=$$(mktemp -d) && trap 'rm -rf "$$plain"' EXIT && $(GO) test -c -o "$$plain/" ./oci && \
	CGO_ENABLED=1 KANSO_TEST_PLAIN=$$plain GORACE=atexit_sleep_ms=0 $(GO) test -race -short -timeout 28m $(RACE)

lint:
	$(GOLANGCI_LINT) run ./...

cross:
	for target in darwin/arm64 windows/amd64 linux/arm64; do \
		echo "$$target"; GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -o /dev/null ./cmd/kanso || exit 1; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet ./... || exit 1; \
	done

# Dockerfiles are lowered as BuildKit's own front end converts them.
lowered:
	cd testdata/tools/llb && $(GO) test ./...

# Dockerfiles give what they give with BuildKit; testdata/dockerfile/conformance.sh --reference asks it again.
conformance:
	testdata/dockerfile/conformance.sh

compare: build
	testdata/compare/compare.sh
	testdata/compare/cases.sh $(CASES)

# A real ZenML, in environments that are made once: kanso's records, stack configuration and readings of Python are its own.
zenml: build
	testdata/zenml/record.sh
	testdata/zenml/server.sh
	testdata/zenml/source.sh $(VERSIONS)

# In containers of all kinds; NAMES says which.
modes: build
	testdata/modes/modes.sh $(NAMES)

memory: build
	testdata/e2e/memory.sh $(or $(SIZES),2G 10G)

# Builds are killed at random moments, N times, or run out of space, FULL times; the next one has to be right. Then what reads
# strangers' bytes is fuzzed, for FUZZTIME each.
soak:
	$(MAKE) hurt
	$(MAKE) fuzz-strangers FUZZTIME=$(or $(FUZZTIME),10m)

hurt: build
	testdata/e2e/soak.sh $(or $(N),500)
	testdata/e2e/full.sh $(or $(FULL),50)

fuzz-strangers:
	TARGETS="$(strangers)" FUZZTIME=$(or $(FUZZTIME),1m) PARALLEL=$(PARALLEL) NICE=$(NICE) testdata/fuzz.sh

strangers := FuzzUnpack FuzzRoundTrip FuzzMatching FuzzLower FuzzRunConfig FuzzReference FuzzChallenge FuzzManifest FuzzEntries

# A layer of SIZE over connections that are cut ten times.
resume: build
	testdata/e2e/resume.sh $(or $(SIZE),2G)

# kanso's time beside other builders'; see testdata/bench/bench.sh for ROWS, TOOLS, N and RECORD.
bench: build
	testdata/bench/bench.sh

# Guards are taken away one at a time; a test has to fail for each.
mutants:
	testdata/mutants.sh

# Installs that start from an earlier one give what cold ones do.
requirements: build
	testdata/e2e/requirements.sh
	if [ "$$(id -u)" = 0 ]; then testdata/e2e/requirements.sh --as-user one-more upgraded dependency-becomes-requested base-upgraded-before; fi

# Every fuzz target for FUZZTIME.
fuzz:
	FUZZTIME=$(or $(FUZZTIME),10s) testdata/fuzz.sh

clean:
	rm -rf bin .quickstart
