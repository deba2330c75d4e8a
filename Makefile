# Targets that a reader may want are listed by `make help`, each with the comment behind its name.

GOLANGCI  := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PROGRAMS  := orderservice relay projector foodctl
FUZZTIME  ?= 30s
THRESHOLD ?= 80
TIMEOUT   ?= 15m

.DEFAULT_GOAL := help
.PHONY: help build up demo test test-kafka race cover lint fmt vet kafka fuzz ec2-test ci clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the programs into bin/
	go build -o bin/ $(PROGRAMS:%=./%)

up: ## Run the whole pipeline on this machine, without Docker, until Ctrl-C
	go run ./foodctl up

demo: ## Kill every program over and over while orders flow, then audit the result
	go run ./foodctl demo kill --times 20 --every 1s --all

test: ## Run all tests; what needs a real Kafka says how to have one
	go test -timeout $(TIMEOUT) ./...

test-kafka: ## Run all tests on a real Apache Kafka (see make kafka)
	BROKER=kafka go test -timeout $(TIMEOUT) -count=1 ./...

race: ## Run all tests with the race detector
	go test -race -timeout $(TIMEOUT) ./...

cover: ## Measure coverage, child processes included; fails below THRESHOLD (80) per cent
	@./.ci/cover $(THRESHOLD) go test -timeout $(TIMEOUT) ./...

lint: ## Run golangci-lint at its pinned version (built at the first run)
	$(GOLANGCI) run ./...

fmt: ## Format all Go files
	$(GOLANGCI) fmt ./...

vet: ## Run go vet
	go vet ./...

kafka: ## Fetch Apache Kafka's jars with Maven, for the tests (Java 17 runs them)
	go run ./internal/testenv/kafka

fuzz: ## Fuzz each decoder for FUZZTIME (30s)
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -h '^func Fuzz' $$p/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do \
			echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

ec2-test: ## Check deploy/ec2: linters, user data in a container, the host script on Docker, all commands on a mock AWS
	./deploy/ec2/test/run

ci: ## Do what the continuous integration does, on this machine
	./.ci/run

clean: ## Remove what build and cover made
	rm -rf bin cover
