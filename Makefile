# Targets that a reader may want are listed by `make help`, each with the comment behind its name.

GOLANGCI  := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PROGRAMS  := orderservice relay projector foodctl
FUZZTIME  ?= 30s
THRESHOLD ?= 80
TIMEOUT   ?= 15m

.DEFAULT_GOAL := help
.PHONY: help build up demo test test-kafka race nightly cover lint fmt vet kafka registry contracts image image-test compose-test compose-overlays-test ec2-test soak metrics prometheus-test \
	k8s-schemas k8s-test k8s-alerts schemathesis fuzz ci clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the programs into bin/
	go build -o bin/ $(PROGRAMS:%=./%)

up: ## Run the whole pipeline on this machine, without Docker, until Ctrl-C
	go run ./foodctl up

demo: ## Kill relay, projectors and orderservice over and over while orders flow, then audit the result
	go run ./foodctl demo kill --times 20 --every 1s --all

test: ## Run all tests; what needs a real Kafka says how to have one
	go test -timeout $(TIMEOUT) ./...

test-kafka: ## Run all tests on a real Apache Kafka (see make kafka)
	BROKER=kafka go test -timeout $(TIMEOUT) -count=1 ./...

race: ## Run all tests with the race detector
	go test -race -timeout $(TIMEOUT) ./...

nightly: ## Run what takes long: ten minutes without Kafka, a rebuild of a million events, then a transaction of 10,000,000 rows (tens of minutes, and tens of GB below TMPDIR)
	BROKER=kafka go test -tags nightly -timeout 60m -count=1 -v -run 'OfTenMinutes|OfAMillion' ./internal/e2e
	go run ./foodctl bench relay --rows 10000000 --tx 10000000

cover: ## Measure coverage, child processes included; fails below THRESHOLD (80) per cent
	@./.ci/cover $(THRESHOLD) go test -timeout $(TIMEOUT) ./...

lint: ## Run golangci-lint at its pinned version (built at the first run)
	$(GOLANGCI) run ./...

fmt: ## Format all Go files
	$(GOLANGCI) fmt ./...

vet: ## Run go vet
	go vet ./... && go vet -tags nightly ./internal/e2e && go vet -tags crashpoints ./relay/crash

kafka: ## Fetch Apache Kafka's jars with Maven, for the tests (Java 17 runs them)
	go run ./internal/testenv/kafka

.PHONY: registry contracts

registry: ## Fetch the schema registry that a test starts, with Maven (Java 17 runs it)
	go run ./internal/testenv/registry

contracts: ## Write docs/contracts anew, from the events' structs; refuses to change an event
	go run ./foodctl contracts --write docs/contracts

k8s-schemas: ## Fetch the schemas of the operators that deploy/k8s uses, for its tests (Maven and pip)
	go run ./deploy/k8s/validate schemas

k8s-test: k8s-schemas ## Validate deploy/k8s, and run the programs with the rights that it gives them
	go test -timeout $(TIMEOUT) -count=1 ./deploy/k8s/...

k8s-alerts: ## Make the Prometheus Operator's copy of deploy/prometheus/alerts.yml
	go run ./deploy/k8s/validate alerts

schemathesis: ## Install Schemathesis, which tries the orders API by its OpenAPI document, for its test (Python's venv)
	@dir=$${XDG_CACHE_HOME:-$$HOME/.cache}/kafkafoodpipeline/schemathesis; test -x $$dir/bin/schemathesis || \
		{ python3 -m venv $$dir && $$dir/bin/pip install -q schemathesis==4.32.5; }

fuzz: ## Fuzz each decoder for FUZZTIME (30s)
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -h '^func Fuzz' $$p/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do \
			echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

image: ## Build the container image foodpipeline
	docker build -f deploy/Dockerfile -t foodpipeline .

image-test: ## Build the image twice, for two architectures, and compare
	deploy/image/test

compose-test: ## Walk through docker-compose.yml with both kinds of Compose, killing everything (root, Docker)
	deploy/compose/test

compose-overlays-test: ## Start each overlay of deploy/compose, try what it is for, and audit (root, Docker)
	deploy/compose/test-overlays

ec2-test: ## Check deploy/ec2: linters, user data in a container, the host script on Docker, all commands on a mock AWS
	deploy/ec2/test/run

soak: ## Run the small host's overlay for 65 minutes under its limits, and print the record (root, Docker, swap)
	deploy/ec2/soak

metrics: ## Write docs/metrics.md anew, from what the programs export
	go test ./deploy/prometheus -run TestCatalogueIsUpToDate -update

prometheus-test: ## Test the alerts with promtool, and run all queries on a real Prometheus over a running pipeline
	go test -timeout $(TIMEOUT) -count=1 -v ./deploy/prometheus

ci: ## Do what the continuous integration does, on this machine
	./.ci/run

clean: ## Remove what build and cover made
	rm -rf bin cover
