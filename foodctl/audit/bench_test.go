package audit_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
)

// BenchmarkAudit audits b.N events, so that time and memory are per event:
//
//	go test ./foodctl/audit -run '^$' -bench Audit -benchtime 1000000x
func BenchmarkAudit(b *testing.B) {
	w := newWorld(b).withModel()
	w.live(len(lives))
	w.multiply(b.N)
	records := w.unpublished()
	for len(records) > 0 {
		chunk := records[:min(len(records), 5000)]
		records = records[len(chunk):]
		w.transact(chunk, kgo.TryCommit)
		w.keep(chunk)
	}
	w.project()
	exec(b, w.orders, "VACUUM ANALYZE")
	exec(b, w.model, "VACUUM ANALYZE")
	b.ReportAllocs()
	b.ResetTimer()
	r := w.audit()
	b.StopTimer()
	if r.Verdict != audit.Holds || r.Source.Events < int64(b.N) {
		show(b, r)
		b.Fatalf("verdict %s of %d events, want holds", r.Verdict, r.Source.Events)
	}
	b.ReportMetric(float64(r.Source.Events)/b.Elapsed().Seconds(), "events/s")
}

// multiply copies the orders with all their events until there are at least so many events.
func (w *world) multiply(events int) {
	w.t.Helper()
	exec(w.t, w.orders, `
		CREATE TEMP TABLE copy AS
		SELECT o.id AS old, gen_random_uuid() AS new
		FROM orders AS o, generate_series(1, $1::int / (SELECT count(*)::int FROM outbox))`, events)
	exec(w.t, w.orders, `
		INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at)
		SELECT gen_random_uuid(), aggregatetype, new, type, version, payload, headers, occurred_at
		FROM outbox
		JOIN copy ON old = aggregateid
		ORDER BY occurred_at, version`)
	exec(w.t, w.orders, `
		INSERT INTO orders
		SELECT (jsonb_populate_record(o, jsonb_build_object('id', new))).*
		FROM orders AS o
		JOIN copy ON old = o.id`)
}
