# make demo     see the whole of it work, on a real redis-server and a real CA
# make build    bin/redis-cert-agent and bin/redis-cert-ca
# make test     the tests; make lint, make bench, make dashboard likewise
#
# Each installs what it lacks (packaging/deps.sh). Go 1.21 or newer is enough:
# it fetches the toolchain that go.mod asks for.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

export CGO_ENABLED ?= 0
build_flags = -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.1.4

.PHONY: build demo test lint bench dashboard deps package e2e clean

build: bin/redis-cert-agent bin/redis-cert-ca

bin/%: FORCE
	@packaging/deps.sh go
	go build $(build_flags) -o $@ ./cmd/$*

FORCE:

# ISSUER=acme goes through ACME instead of a JWK provisioner.
demo: bin/redis-cert-agent bin/redis-cert-ca bin/demo
	@packaging/deps.sh redis-server
	@bin/demo -agent bin/redis-cert-agent -ca bin/redis-cert-ca -issuer $(or $(ISSUER),step)

# TESTFLAGS adds to go test: make test TESTFLAGS='-run Reload -v'
test: export CGO_ENABLED = 1
test:
	@packaging/deps.sh go cc redis-server strace openssl promtool prometheus
	go test -race -timeout 10m $(TESTFLAGS) ./...

lint:
	@packaging/deps.sh go
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	 if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -run TestImports ./agent
	@packaging/vulncheck.sh $(GOVULNCHECK)

bench:
	@packaging/deps.sh go redis-server
	go run ./cmd/bench -o docs/benchmarks.md

# The picture of the Grafana dashboard, from a Prometheus that watches two agents
# for ten minutes while a few things go wrong.
dashboard: bin/redis-cert-agent bin/redis-cert-ca bin/dashboard
	@packaging/deps.sh redis-server prometheus
	@bin/dashboard -agent bin/redis-cert-agent -ca bin/redis-cert-ca -o docs/dashboard.svg

# The .deb and .rpm, in dist/.
package:
	@packaging/deps.sh go
	@VERSION='$(VERSION)' packaging/package.sh

# The packages on real systems, in containers; root, and no network needed once
# the root file systems are there. Where that cannot be it says SKIP and why; in CI
# that is a failure.
e2e:
	@packaging/e2e/run.sh || [ $$? = 77 ]

clean:
	rm -rf bin dist
