// Package e2e tests the whole pipeline with its real programs, a real Postgres and a real Apache Kafka: orders flow, a
// fault hits, the orders stop, and foodctl verify must count five zeros.
//
// Each scenario also proves that its fault was felt (processes that are new, transactions that were broken off, batches
// that were fenced, servers that were away) and that traffic flowed, so that an idle run cannot pass.
//
// It promises nothing about kfake: only the run without a fault uses it, where there is no BROKER=kafka. The rest is
// skipped where no real Kafka can be had; `make kafka` fetches one.
package e2e
