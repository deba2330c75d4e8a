// Package naive publishes the outbox as one writes it first: look what is new, send it, note how far that was. It is a
// control for the demonstrations, and nothing that runs in earnest uses it.
//
// Nothing in it was made worse than it has to be. Kafka acknowledges with all replicas, the producer is idempotent, the
// position is in Postgres and moves only behind what Kafka has acknowledged. So it publishes every event at least once,
// or so one thinks. It does not, and it promises nothing. What is wrong with it:
//
//   - Kafka's acknowledgement and the position in Postgres are two writes to two systems. Killed between them, it sends
//     again what Kafka has already: duplicates. An idempotent producer does not help: the next process is another producer.
//   - The position is a sequence number, and those are given out in another order than transactions commit. A row with a
//     lower number that becomes visible later is passed over: a lost event, and nobody hears of it.
//   - Two of it publish everything twice. Nothing fences one that was paused.
//
// To turn the two writes around does not help: then it loses what it repeats now. The relay has neither fault, since it
// reads the log in commit order and commits events and position in one Kafka transaction.
package naive

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Config says from where to where.
type Config struct {
	DatabaseURL string // the orders database, which Prepare has prepared
	Brokers     string // comma-separated addresses
	Topic       string
}

const (
	batch = 500                   // rows that are sent together
	every = 50 * time.Millisecond // how often to look while there is nothing new
)

// Run publishes until ctx ends, which is no error, or something fails. Started again, it goes on behind the position that
// was stored last.
func Run(ctx context.Context, c Config) error {
	db, err := connect(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was stored is committed
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Brokers, ",")...), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return fmt.Errorf("brokers %s: %w", c.Brokers, err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		n, err := publish(ctx, db, client, c.Topic)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			_ = ops.Sleep(ctx, every) // the loop asks ctx
		}
	}
	return nil
}

// connect opens a session in which Postgres writes times as a record has them.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	config.RuntimeParams["timezone"], config.RuntimeParams["datestyle"] = "UTC", "ISO"
	return pgx.ConnectConfig(ctx, config)
}

// publish sends what is new, and stores how far that was. It returns how many events those are.
func publish(ctx context.Context, db *pgx.Conn, client *kgo.Client, name string) (int, error) {
	position, err := load(ctx, db)
	if err != nil {
		return 0, err
	}
	records, last, err := after(ctx, db, position, name)
	if err != nil || len(records) == 0 {
		return 0, err
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return 0, fmt.Errorf("produce: %w", err)
	}
	// Killed here, it sends them again.
	return len(records), store(ctx, db, last)
}

const selectAfter = `
SELECT seq, seq::text, id::text, aggregateid::text, type, version::text, payload::text, headers::text, occurred_at::text, occurred_at
FROM outbox
WHERE seq > $1
ORDER BY outbox.seq
LIMIT $2`

// after reads the first rows behind a sequence number, as records, and the number of the last.
func after(ctx context.Context, db *pgx.Conn, position int64, name string) (records []*kgo.Record, last int64, err error) {
	rows, err := db.Query(ctx, selectAfter, position, batch)
	if err != nil {
		return nil, 0, fmt.Errorf("outbox: %w", err)
	}
	records, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*kgo.Record, error) {
		var r outbox.Row
		var at time.Time
		if err := row.Scan(&last, &r.Seq, &r.ID, &r.AggregateID, &r.Type, &r.Version, &r.Payload, &r.Headers, &r.OccurredAt, &at); err != nil {
			return nil, err
		}
		return topic.Record(name, r, topic.Source{Name: "/orders", Committed: at})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("outbox: %w", err)
	}
	return records, last, nil
}
