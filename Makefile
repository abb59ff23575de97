# Holdfast. `make demo` does the main job, `make test` proves it; each installs
# what it needs on a Debian machine with Go, as root.

VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO        := go
GOFLAGS   := -trimpath -buildvcs=false
LDFLAGS   := -s -w -X main.version=$(VERSION)
CARRIED   := cmd/holdfast/daemon/bin
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

# Tools that only checks need are pinned here and stay out of go.mod.
GOTESTSUM   := gotest.tools/gotestsum@v1.13.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

export CGO_ENABLED := 0
export GOFLAGS GOTESTSUM STATICCHECK GOVULNCHECK

.PHONY: build release demo test chaos soak lint bench deps clean

# holdfast for this machine, with holdfastd for every supported server inside.
build: daemon
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast

# holdfast for every desk.
release: daemon
	@for p in $(PLATFORMS); do \
		echo "holdfast $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -ldflags '$(LDFLAGS)' -o bin/holdfast-$${p%/*}-$${p#*/} ./cmd/holdfast || exit 1; \
	done

.PHONY: daemon
daemon:
	@for arch in amd64 arm64; do \
		GOOS=linux GOARCH=$$arch $(GO) build -ldflags '$(LDFLAGS)' -o bin/holdfastd-linux-$$arch ./cmd/holdfastd || exit 1; \
		sum=$$(sha256sum <bin/holdfastd-linux-$$arch | cut -d' ' -f1); \
		[ "$$sum" = "$$(cat $(CARRIED)/linux-$$arch.sha256 2>/dev/null)" ] && continue; \
		gzip -9nc bin/holdfastd-linux-$$arch >$(CARRIED)/linux-$$arch.gz && echo "$$sum" >$(CARRIED)/linux-$$arch.sha256 || exit 1; \
	done

# Debian packages for the lab and the tests: servers, and the independent
# programs whose password hashes app/password reads and is read by.
deps:
	@scripts/deps lab
	@scripts/deps app

demo: deps build
	@scripts/demo

test: deps build
	@scripts/test

# All faults of server/txn/chaos on real servers, within 40 minutes;
# HOLDFAST_CHAOS=quarter does a quarter of them.
chaos: deps build
	@HOLDFAST_MUST_RUN=1 HOLDFAST_CHAOS=$${HOLDFAST_CHAOS:-full} $(GO) test -count=1 -timeout 45m -v -run '^TestChaos$$' ./server/txn/chaos

soak: deps build
	@scripts/soak

lint:
	@scripts/lint

bench: deps build
	@scripts/deps bench
	@for b in bench/*/run; do echo "== $$b"; $$b || exit 1; done

clean:
	rm -rf bin $(CARRIED)/*.gz $(CARRIED)/*.sha256
