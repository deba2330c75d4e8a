package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// GrowthReport is what a projector needs in read models that hold orders already.
type GrowthReport struct {
	Sizes []Grown `json:"sizes"`
	Void  bool    `json:"void"`
}

// Grown is what it needs in one of them.
type Grown struct {
	Orders      int64     `json:"orders"`       // that it holds before
	Bytes       int64     `json:"bytes"`        // of its database, afterwards
	FillSeconds float64   `json:"fill_seconds"` // to put them there
	Replay      Pass      `json:"replay"`       // of a backlog
	Latency     RateDelay `json:"latency"`      // behind it
	HOT         float64   `json:"hot_share"`    // of the updates of order_summary, those that touched no index
	Check       Verdict   `json:"check"`        // of what was added
}

// growthRate is the events a second at which latency is measured.
const growthRate = 1000

// growth measures one size after the other, each with the same events.
func (s *servers) growth(ctx context.Context, c Projector) (*GrowthReport, error) {
	report := new(GrowthReport)
	for i, orders := range c.Orders {
		g := Grown{Orders: orders}
		var err error
		g.Check, err = s.audited(ctx, fmt.Sprintf("growth_%d", i), 3, c.Open, func(m *readModel) error { return m.grow(ctx, c, &g) })
		if err != nil {
			return nil, fmt.Errorf("%d orders: %w", orders, err)
		}
		report.Sizes, report.Void = append(report.Sizes, g), report.Void || !g.Check.Clean()
	}
	return report, nil
}

func (m *readModel) grow(ctx context.Context, c Projector, g *Grown) error {
	m.stage.Progress(fmt.Sprintf("read model of %d orders, %d events", g.Orders, c.Events))
	began := time.Now()
	if err := m.age(ctx, g.Orders); err != nil {
		return fmt.Errorf("orders of the past: %w", err)
	}
	g.FillSeconds = time.Since(began).Seconds()
	if err := m.stage.fill(ctx, c.Events); err != nil {
		return err
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	p, err := m.projector("projector", "")
	if err != nil {
		return err
	}
	if err := p.running(ctx, func() error { return m.load(ctx, c, p, g) }); err != nil {
		return err
	}
	const look = `
SELECT pg_database_size(current_database()), coalesce(n_tup_hot_upd::float / nullif(n_tup_upd, 0), 0)
FROM pg_stat_user_tables
WHERE schemaname = 'public'
  AND relname = 'order_summary'`
	if err := m.conn.QueryRow(ctx, look).Scan(&g.Bytes, &g.HOT); err != nil {
		return err
	}
	if _, err := m.conn.Exec(ctx, fmt.Sprintf(forget, idAt(firstAt))); err != nil {
		return fmt.Errorf("set aside the orders of the past: %w", err)
	}
	return nil
}

// load has the projector apply the backlog, and events at a rate behind it.
func (m *readModel) load(ctx context.Context, c Projector, p *projector, g *Grown) (err error) {
	if err := p.ownsAny(ctx, m); err != nil {
		return err
	}
	w := m.stage.watch(p.process.PID())
	if err := p.caughtUp(ctx, m, c.Events); err != nil {
		return err
	}
	g.Replay = w.pass("projector", c.Events, 0)
	g.Replay.PeakRSS = p.peakRSS()
	if _, err := m.delay(ctx, p, heat, c.For); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	g.Latency, err = m.delay(ctx, p, growthRate, c.For)
	return err
}

// idAt is the lowest UUIDv7 of a time.
func idAt(at time.Time) (id uuid.UUID) {
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// past are orders, the oldest first, as they would have come in. Their ids are UUIDv7.
const past = `
CREATE TEMPORARY TABLE past AS
SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid AS order_id
FROM generate_series(%d, %d, -1) AS n,
     LATERAL (SELECT timestamptz '%s' - n * interval '100 ms' AS at, md5(n::text) AS h) AS o`

// Both tables that grow with the orders get as many as there would have been at 10 orders a second, of eight events each. The log of
// what is written so far is done with behind a checkpoint: that of all of it would need as much of the disk as the tables.
var age = []string{
	`
INSERT INTO order_summary (order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor, refunded_minor,
       tip_minor, currency, lines, rating, placed_at, updated_at)
SELECT order_id, 1 + n % 100, 'delivery', 'completed', 'captured', 8, 2450, 2450, 0, 150, 'EUR',
       '[{"item_id":3,"quantity":2,"unit_price":{"minor":850,"currency":"EUR"}},{"item_id":7,"quantity":1,"unit_price":{"minor":750,"currency":"EUR"}}]',
       5, at, at + interval '30 min'
FROM past`,
	`
INSERT INTO order_timeline (order_id, version, event_id, type, at, part, record_offset, position, data)
SELECT order_id, v, md5(n::text || v)::uuid, 'order.accepted.v1', at + v * interval '1 min', n % 3, -n * 8 - v, -n * 8 - v,
       '{"promised_at":"2025-12-01T12:00:00Z","note":"as many bytes as an event has in the middle, some hundred"}'
FROM past, generate_series(1, 8) AS v`,
	`DROP TABLE past`,
	`CHECKPOINT`,
}

// ageSlice is how many orders are written between two checkpoints: some three gigabytes.
const ageSlice = 1_000_000

func (m *readModel) age(ctx context.Context, orders int64) error {
	for left := orders; left > 0; left -= ageSlice {
		newest := max(left-ageSlice, 0) + 1
		m.stage.Progress(fmt.Sprintf("filling: %d of %d orders of the past", orders-left, orders))
		slice := append([]string{fmt.Sprintf(past, left, newest, firstAt.Format(time.RFC3339))}, age...)
		for _, statement := range slice {
			if _, err := m.conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
	}
	_, err := m.conn.Exec(ctx, `VACUUM (ANALYZE) order_summary, order_timeline`)
	return err
}

// forget makes a read model of what has come since, for the audit, which knows nothing of the orders of the past.
const forget = `
DO $$
DECLARE
  t text;
BEGIN
  PERFORM read_model_begin();
  FOR t IN SELECT name FROM read_model_relations('public') WHERE kind = 'r' LOOP
    EXECUTE format('INSERT INTO rebuild.%%I SELECT * FROM public.%%1$I', t)
         || CASE WHEN t IN ('order_summary', 'order_timeline') THEN ' WHERE order_id >= ''%s''' ELSE '' END;
  END LOOP;
  PERFORM read_model_swap('rebuild');
END $$`
