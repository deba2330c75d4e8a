package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Backlog says how to measure the draining of a backlog.
type Backlog struct {
	Config

	Rows           int64
	PerTransaction []int // one filling for each
}

// BacklogReport is what draining came to.
type BacklogReport struct {
	Machine  Machine   `json:"machine"`
	WarmUp   Filling   `json:"warm_up"` // a tenth, first: a broker's code is not yet compiled. Checked as well
	Fillings []Filling `json:"fillings"`
	Void     bool      `json:"void"` // a check has found something
}

// Filling is what was measured with one backlog, in this order.
type Filling struct {
	RowsPerTransaction int           `json:"rows_per_transaction"`
	Rows               int64         `json:"rows"`
	PayloadBytes       int64         `json:"payload_bytes"` // of all events
	FillSeconds        float64       `json:"fill_seconds"`
	WALBytes           int64         `json:"wal_bytes"`
	Readers            []Measurement `json:"bare_readers"`   // eager, then in bursts
	Producers          []Measurement `json:"bare_producers"` // by compression
	Both               Measurement   `json:"both_uncoupled"` // the best of either, at once
	Relay              Measurement   `json:"relay"`
	Ratios             Ratios        `json:"ratios"`
	Check              Check         `json:"check"`
	Void               bool          `json:"void"`
}

// Ratios are the relay's events a second by those of a limit.
type Ratios struct {
	EagerReader  float64 `json:"eager_reader"`
	BestReader   float64 `json:"best_reader"`
	BestProducer float64 `json:"best_producer"`
	Both         float64 `json:"both_uncoupled"`
}

// ratios compares the relay with the limits.
func (f *Filling) ratios() Ratios {
	of := func(m Measurement) float64 { return f.Relay.EventsPerSecond / m.EventsPerSecond }
	return Ratios{
		EagerReader:  of(f.Readers[0]),
		BestReader:   of(f.Readers[best(f.Readers)]),
		BestProducer: of(f.Producers[best(f.Producers)]),
		Both:         of(f.Both),
	}
}

// best is the index of the fastest.
func best(list []Measurement) (at int) {
	for i, m := range list {
		if m.EventsPerSecond > list[at].EventsPerSecond {
			at = i
		}
	}
	return at
}

// Run fills, measures and checks, for each size of transactions.
func (c Backlog) Run(ctx context.Context) (report BacklogReport, err error) {
	if c.Rows < 1 || len(c.PerTransaction) == 0 || slices.Min(c.PerTransaction) < 1 {
		return report, errors.New("at least one row (--rows), and one or more a transaction (--tx), are needed")
	}
	s, err := open(ctx, c.Config, kafkaserver.Config{})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	report.Machine = s.machine
	r, err := s.relay("relay", "", "")
	if err != nil {
		return report, err
	}
	if report.WarmUp, err = s.measure(ctx, r, 0, c.PerTransaction[0], max(1, c.Rows/10)); err != nil {
		return report, err
	}
	report.Void = report.WarmUp.Void
	for i, size := range c.PerTransaction {
		f, err := s.measure(ctx, r, trial(i+1), size, c.Rows)
		if err != nil {
			return report, err
		}
		report.Fillings = append(report.Fillings, f)
		report.Void = report.Void || f.Void
	}
	return report, nil
}

// measure measures one filling.
func (s *servers) measure(ctx context.Context, r *relay, t trial, perTransaction int, rows int64) (Filling, error) {
	b := &backlog{servers: s, relay: r, trial: t, Filling: Filling{RowsPerTransaction: perTransaction, Rows: rows}}
	if err := b.run(ctx); err != nil {
		return b.Filling, fmt.Errorf("%d rows, %d a transaction: %w", rows, perTransaction, err)
	}
	return b.Filling, nil
}

// backlog is a filling that is being measured.
type backlog struct {
	*servers
	Filling

	relay   *relay
	trial   trial
	records []*kgo.Record
	before  int64      // the last sequence number of those that were there
	from    ends       // of the topic, before
	end     outbox.LSN // behind the last transaction of the filling
	topics  int        // of bare producers, so far
}

// run does everything in the order in which nothing disturbs what comes after it: the relay is last, because the bare
// readers want its log whole, and its own slot was there first, so that it finds the backlog as a relay that was away
// does.
func (b *backlog) run(ctx context.Context) (err error) {
	b.Progress("bringing the relay's slot up to date")
	if err := b.prime(ctx, b.relay); err != nil {
		return err
	}
	slot := b.names.Slot + "_bare"
	if _, err := b.db.Exec(ctx, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, slot); err != nil {
		return fmt.Errorf("make a slot for the bare readers: %w", err)
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.readBare(ctx, slot); err != nil {
		return err
	}
	if err := b.produceBare(ctx); err != nil {
		return err
	}
	if err := b.bothBare(ctx, slot); err != nil {
		return err
	}
	if err := b.released(ctx, slot); err != nil {
		return err
	}
	if _, err := b.db.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, slot); err != nil {
		return fmt.Errorf("drop the slot of the bare readers: %w", err)
	}
	if err := b.drain(ctx); err != nil {
		return err
	}
	b.Progress("checking what arrived")
	b.Check, err = b.audit(ctx, b.trial, b.before, b.from)
	b.Void = !b.Check.Clean()
	b.Ratios = b.ratios()
	return err
}

const selectBefore = `
SELECT coalesce(max(seq), 0),
       (pg_current_wal_insert_lsn() - '0/0')::bigint
FROM outbox`

const selectFilled = `
SELECT coalesce(sum(octet_length(payload::text)), 0)::bigint,
       (pg_current_wal_insert_lsn() - '0/0')::bigint - $2::bigint
FROM outbox
WHERE seq > $1`

func (b *backlog) fill(ctx context.Context) (err error) {
	b.Progress(fmt.Sprintf("filling: %d rows, %d a transaction", b.Rows, b.RowsPerTransaction))
	if b.from, err = b.ends(ctx, b.names.Topic); err != nil {
		return err
	}
	if b.records, err = b.trial.records(b.Rows, b.RowsPerTransaction); err != nil {
		return err
	}
	var log int64
	if err := b.db.QueryRow(ctx, selectBefore).Scan(&b.before, &log); err != nil {
		return fmt.Errorf("the outbox before the filling: %w", err)
	}
	began := time.Now()
	if err := b.trial.fill(ctx, b.url(), b.Rows, b.RowsPerTransaction); err != nil {
		return err
	}
	b.FillSeconds = time.Since(began).Seconds()
	// What the filling has left to write would otherwise be written while something is measured.
	if _, err := b.db.Exec(ctx, "CHECKPOINT"); err != nil {
		return err
	}
	if err := b.db.QueryRow(ctx, selectFilled, b.before, log).Scan(&b.PayloadBytes, &b.WALBytes); err != nil {
		return fmt.Errorf("the outbox after the filling: %w", err)
	}
	return nil
}

// drain measures the relay, from the moment that it streams until Postgres has its acknowledgement of the last
// transaction.
func (b *backlog) drain(ctx context.Context) (err error) {
	b.Progress("relay")
	if err := b.relay.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.relay.stop(context.WithoutCancel(ctx))) }()
	var server int
	err = b.relay.until(ctx, 2*time.Millisecond, func(ctx context.Context) (_ bool, err error) {
		server, _, err = b.slot(ctx, b.names.Slot)
		return server != 0, err
	})
	if err != nil {
		return err
	}
	w := b.watch(b.relay.process.PID())
	if err := b.relay.until(ctx, 20*time.Millisecond, b.confirmed()); err != nil {
		return err
	}
	b.Relay = w.stop("relay run", b.Rows, b.PayloadBytes, b.local(server))
	if rss := supervise.Of(b.relay.process.PID()).MaxRSS; rss > 0 {
		b.Relay.PeakRSS = &rss
	}
	metrics, err := status.Scrape(ctx, b.relay.url)
	if err != nil {
		return err
	}
	b.Relay.KafkaTransactions = new(int64(metrics.Sum("relay_transactions_total")))
	return nil
}

// confirmed asks whether the relay has acknowledged the filling. It is an error if nothing moves for long: of a large transaction
// nothing is acknowledged before its end, but the relay counts what it has published.
func (b *backlog) confirmed() func(context.Context) (bool, error) {
	var last int64
	var events float64
	moved := time.Now()
	return func(ctx context.Context) (bool, error) {
		_, at, err := b.slot(ctx, b.names.Slot)
		if at != last {
			last, moved = at, time.Now()
		}
		if err != nil || time.Since(moved) <= patience {
			return at >= int64(b.end), err
		}
		metrics, err := status.Scrape(ctx, b.relay.url)
		if now := metrics.Sum("relay_published_events_total"); now > events {
			events, moved = now, time.Now()
		} else if err == nil {
			err = fmt.Errorf("the relay has acknowledged %s of %s, and nothing for %s", outbox.LSN(at), b.end, patience)
		}
		return at >= int64(b.end), err
	}
}
