# make              what a contributor needs: build, vet, unit tests
# make test         everything: unit tests, conformance, fuzz seeds, real clients and engines
# make demo         a real Dockerfile built twice through sutler; make demo-clean removes what it left
# make bench        figures beside nginx, in one run
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
ARCH    := $(shell $(GO) env GOARCH)
LDFLAGS  = -s -w -X main.version=$(VERSION)
FRONTEND = internal/builder/frontend/sutler-frontend-linux-$(ARCH).zst
RUNC     = internal/ociruntime/program/embedded/sutler-runc-linux-$(ARCH).zst
export CGO_ENABLED = 0

.PHONY: all build frontend unit test e2e lint fuzz bench demo demo-clean docs cross clean

all: build unit

build: frontend $(RUNC)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/sutler ./cmd/sutler

# The frontend runs inside Linux builders, also for a sutler that runs elsewhere.
frontend: $(FRONTEND)

$(FRONTEND): $(shell find cmd/sutler-frontend internal/frontend -name '*.go' 2>/dev/null) go.sum
	GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags '-s -w' -o bin/sutler-frontend-linux-$(ARCH) ./cmd/sutler-frontend
	$(GO) run ./cmd/zstdpack bin/sutler-frontend-linux-$(ARCH) $@

# It starts with every container of an engine, so it is a small program of its own.
$(RUNC): $(wildcard cmd/sutler-runc/*.go internal/ociruntime/*.go)
	GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags '-s -w' -o bin/sutler-runc-linux-$(ARCH) ./cmd/sutler-runc
	$(GO) run ./cmd/zstdpack bin/sutler-runc-linux-$(ARCH) $@

unit:
	$(GO) vet ./...
	$(GO) test $$($(GO) list ./... | grep -v /e2e)

# The one command of the README: see .ci/test for what it needs and what it prints.
test: build
	./.ci/test

e2e: build
	SUTLER_BIN=$(CURDIR)/bin/sutler $(GO) test -count=1 -timeout 30m -v ./e2e

lint:
	golangci-lint run

# Every fuzz target for a minute.
fuzz:
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' internal | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go | sed 's/func //'); do \
			echo "$$p $$f"; $(GO) test ./$$p -run '^$$' -fuzz "^$$f$$" -fuzztime 60s || exit 1; done; done

bench: build
	$(GO) run ./bench -sutler bin/sutler -json bench.json
	SUTLER_E2E_LOAD=1 SUTLER_BIN=$(CURDIR)/bin/sutler $(GO) test ./e2e -count=1 -run 'TestDNSLoad$$' -v
	$(GO) test -run '^$$' -bench . -benchmem ./internal/engine ./internal/ecosystem/... ./internal/blob/disk ./internal/ingress

# Tables in the documentation that are made from the code; a test compares them.
docs:
	$(GO) test ./internal/ecosystem/all -run TestDocs -update

demo: build
	./demo/demo.sh

demo-clean:
	./demo/demo.sh clean

# Compiles for every platform that is supported.
cross:
	@for t in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do echo $$t; \
		GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/sutler || exit 1; done

clean:
	rm -rf bin bench.json internal/builder/frontend/*.zst internal/ociruntime/program/embedded/*.zst
