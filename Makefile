# `make` builds; `make help` lists the rest. Each target installs what it lacks
# (packaging/deps.sh). Go 1.21 or newer is enough: it fetches the toolchain that
# go.mod asks for.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

export CGO_ENABLED ?= 0
# What keeps the binary small: without HTTP/2, which the few requests to a CA do not need,
# half a megabyte less; nothing is inlined but in what a rotation's time goes to (the
# runtime, cryptography, arithmetic, the talk with Redis), a whole one; functions are
# aligned to 16 bytes and not to 32, a sixth.
build_flags = $(shell cat packaging/build.flags) -ldflags '-s -w -funcalign=16 -X main.version=$(VERSION)'

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
STEP = github.com/smallstep/cli/cmd/step@v0.21.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.1.4

.PHONY: build help demo test simulate simulate-faults acme-matrix newer lint bench fleet picture recording package e2e clean

build: bin/redis-cert-agent bin/redis-cert-ca ## build bin/redis-cert-agent and bin/redis-cert-ca (the default)

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-15s %s\n' "$$target" "$$text"; done

bin/%: FORCE
	@packaging/deps.sh go
	@packaging/progress.sh 'building $@' go build $(build_flags) -o $@ ./cmd/$*

FORCE:

demo: bin/redis-cert-agent bin/redis-cert-ca bin/demo ## see it work on a real redis-server and a real CA; ISSUER=acme: through ACME
	@packaging/deps.sh redis-server
	@packaging/progress.sh 'the demo takes a minute' bin/demo -agent bin/redis-cert-agent -ca bin/redis-cert-ca -issuer $(or $(ISSUER),step)

test: export CGO_ENABLED = 1
test: ## run the tests with the race detector; TESTFLAGS='-run Reload -v' adds to go test
	@packaging/deps.sh go cc redis-server strace openssl python3 promtool prometheus
	@packaging/progress.sh 'the tests take some minutes' go test -race -timeout 20m -parallel 8 $(TESTFLAGS) ./...

# A part of it runs in `make test`, under the seed 1.
simulate: ## run the loop through years of faults; SEED=17: replay that agent, line by line; DAYS=n: that many agent-days
	@packaging/deps.sh go
	go test ./agent -count=1 -timeout 20m -v -run '^TestSimulation$$' -seed $(or $(SEED),0) -days $(or $(DAYS),$(if $(SEED),0,100000))

simulate-faults: ## plant known faults in the agent, and see that the simulation finds each
	@packaging/deps.sh go
	go test ./agent -count=1 -timeout 60m -v -run '^TestPlantedFaults$$' -planted

# A choice of it, in which any two values of two dimensions meet, runs in `make test`.
acme-matrix: ## order from every kind of ACME CA, some twenty minutes; SEED=17: the choice that make test ran with it
	@packaging/deps.sh go
	cd agent/ca/acme && ACME_MATRIX=$(or $(SEED),all) go test -count=1 -timeout 60m -run '^TestMatrix$$'

# Not part of CI, since it builds two servers. docs/versions.md names these tests.
newer: ## run what depends on the server on the newest Redis and Valkey, built from Debian's source packages; REDIS_SERVER=path: on that one
	@packaging/deps.sh go cc redis-cli openssl
	@set -e; for server in $(or $(REDIS_SERVER),$$(packaging/newer.sh)); do \
		$$server --version; \
		REDIS_SERVER=$$server go test -tags newer -count=1 -timeout 20m ./reload/...; \
		REDIS_SERVER=$$server go test -tags newer -count=1 -timeout 20m ./agent -run '^TestStates$$'; \
		REDIS_SERVER=$$server go test -tags newer -count=1 -timeout 20m ./cmd/redis-cert-agent \
			-run '^Test(LoginBy|Cluster|ChainOf|Check(Link|Bus|Host)|KilledIn)'; \
		REDIS_SERVER=$$server go test -tags newer -count=1 -timeout 20m ./cmd/redis-cert-agent \
			-run '^TestScripts$$/^(init|expired|rotation|pairs)'; \
	done

lint: ## gofmt, go vet, staticcheck, go mod tidy, imports between packages, known vulnerabilities
	@packaging/deps.sh go
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	 if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	@packaging/progress.sh 'go vet' go vet ./...
	go mod tidy -diff
	@packaging/progress.sh staticcheck go run $(STATICCHECK) ./...
	go test -run TestImports ./agent
	@packaging/vulncheck.sh $(GOVULNCHECK)

# Beside the step CLI of the usual recipe, redis-cli and certbot, which it fetches.
bench: bin/redis-cert-agent bin/redis-cert-ca bin/bench bin/step ## measure, into docs/benchmarks.md: fifteen minutes on an idle machine
	@packaging/deps.sh redis-server redis-cli certbot
	@packaging/progress.sh 'the benchmark takes fifteen minutes' bin/bench -o docs/benchmarks.md

bin/step:
	@packaging/deps.sh go
	GOBIN=$(CURDIR)/bin go install -trimpath -ldflags '-s -w' $(STEP)

fleet: bin/fleet ## simulate what 100,000 agents do to their CA, into docs/fleet-load.md: five minutes
	@packaging/progress.sh 'the fleet takes five minutes' bin/fleet -o docs/fleet-load.md

# From a Prometheus that scrapes three agents for ten minutes while a few things go
# wrong.
picture: bin/redis-cert-agent bin/redis-cert-ca bin/picture ## draw the picture in docs/metrics.md, docs/metrics.svg
	@packaging/deps.sh redis-server prometheus
	@packaging/progress.sh 'the picture takes ten minutes' bin/picture -o docs/metrics.svg

recording: bin/redis-cert-agent bin/redis-cert-ca bin/recording ## draw the picture in the README, docs/rotation.svg, from a run
	@packaging/deps.sh redis-server openssl
	@bin/recording -o docs/rotation.svg

package: ## build the .deb and .rpm, into dist/
	@packaging/deps.sh go
	@VERSION='$(VERSION)' packaging/package.sh

# Root, and no network once the root file systems are there. Where that cannot be it
# says SKIP and why; in CI that is a failure.
e2e: ## install the packages on real systems, in containers, and run them
	@packaging/e2e/run.sh || [ $$? = 77 ]

clean: ## remove bin/ and dist/
	rm -rf bin dist
