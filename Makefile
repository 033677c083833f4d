# `make` lists the targets. CI runs .ci/run, which runs `make lint` beside `make test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# In a container the clone may belong to another user, and Go's VCS stamp then fails.
export GOFLAGS += -buildvcs=false

# Programs that the tests and the demo run; scripts/deps.sh knows the names.
DEPS_TEST ?= gcc postgresql sqlite3 chromium nginx haproxy nodejs python3-jwt python3-cryptography
DEPS_DEMO ?= gcc

GOLANGCI    := $(CURDIR)/.tools/golangci-lint-v2.15.0/golangci-lint
GOVULNCHECK := $(CURDIR)/.tools/govulncheck-v1.9.0/govulncheck

# Arguments for go test: make test ARGS='-run TestDecide -count 10'
ARGS ?=
FUZZTIME ?= 30s

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## sign up in a browser and watch the link form; ONCE=1 needs no browser
	@scripts/deps.sh $(DEPS_DEMO)
	@echo 'The demo is compiled: about a minute on 2 free cores the first time'
	@cd examples/notes && go run ./cmd/demo $(if $(ONCE),-once)

.PHONY: demo-torture
demo-torture: ## run the demo's journey 30 times beside a load, with late hooks; RUNS=30 BURNERS=8 HOLD=2s
	@scripts/deps.sh $(DEPS_DEMO)
	@scripts/demo-torture.sh

# Without go vet: make lint runs it.
.PHONY: test
test: kratos ## run every test, with real Kratos, Postgres and Chromium; packages with the race detector
	@go run ./scripts/gotest -race=packages -vet=off -timeout 45m $(ARGS)

.PHONY: nightly
nightly: kratos ## run every test with the race detector and nothing cached, then fuzz for a minute each: an hour or more
	@SYMBOLON_RACE=all go run ./scripts/gotest -race -count=1 -timeout 90m $(ARGS)
	@scripts/fuzz.sh 1m

.PHONY: torture
torture: kratos ## run the tests at full size: an hour or more
	@SYMBOLON_TORTURE=1 go run ./scripts/gotest -tags torture -timeout 90m -p 1 $(ARGS)

# A module of its own, so that no other build includes it. It runs at the root.
.PHONY: build-bench
build-bench:
	@go build -C scripts/bench -o $(CURDIR)/bin/bench .

.PHONY: bench
bench: build-bench ## measure beside a baseline in the same run; writes BENCHMARKS.md
	@scripts/deps.sh postgresql
	@bin/bench $(ARGS)

.PHONY: bench-reconcile
bench-reconcile: build-bench ## measure reconcile: passes over all identities, missing links; ten minutes, writes BENCHMARKS.md
	@scripts/deps.sh gcc postgresql
	@bin/bench reconcile $(ARGS)

.PHONY: bench-auth
bench-auth: build-bench ## measure /auth, the middleware and uncached sessions; seven minutes, writes BENCHMARKS.md
	@scripts/deps.sh gcc postgresql
	@bin/bench auth $(ARGS)

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME each (30s)
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: $(GOLANGCI) $(GOVULNCHECK) ## gofmt, tidy, vet, golangci-lint, govulncheck
	@scripts/lint.sh $(GOLANGCI) $(GOVULNCHECK)

.PHONY: deps
deps: # installs the system's programs that tests run
	@scripts/deps.sh $(DEPS_TEST)

.PHONY: kratos
kratos: deps # builds Kratos and Caddy once into the user's cache, before the tests
	@echo 'Ory Kratos: building it, unless it is in the cache (about two minutes)'
	@go test -run '^TestBuildKratos$$' -count 1 -timeout 20m ./symbolontest
	@echo 'Caddy: building it, unless it is in the cache (about a minute)'
	@go test -run '^TestBuildCaddy$$' -count 1 -timeout 20m ./internal/e2e

.PHONY: clean
clean: ## remove tools and builds; the built Kratos stays in the user's cache
	rm -rf .tools bin

$(GOLANGCI):
	@echo 'golangci-lint: building it once (about a minute)'
	@GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

$(GOVULNCHECK):
	@GOBIN=$(@D) go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
