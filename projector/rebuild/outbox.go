package rebuild

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// load applies what the topic has lost, out of the outbox, in the transaction in which the tables are made: a rebuild that is killed
// in it has left nothing.
//
// What is lost is told without offsets, which the outbox does not have. One snapshot of it is taken, and the relay is waited for, so
// that all of the snapshot is or was in the topic. Then the topic is read from its beginning: of an order that is in it, the versions
// below the lowest one there are lost, and of one that is not, all are. Were the topic read first, an event that was not published
// yet would be taken for a lost one, and applied again when it comes.
func (r *Rebuild) load(ctx context.Context, tx pgx.Tx) error {
	if r.Outbox == "" {
		return nil
	}
	const forLong = "SET LOCAL search_path = rebuild; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
	if _, err := tx.Exec(ctx, forLong); err != nil {
		return err
	}
	log, err := openEventLog(ctx, r.Outbox)
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	defer log.close(ctx)
	r.say("waiting until the relay has published what the outbox has")
	if err := log.published(ctx); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	bounds, lowest, err := r.lowest(ctx)
	if err != nil {
		return err
	}
	loader, err := r.view.Load(ctx, tx)
	if err != nil {
		return err
	}
	if err := log.lost(ctx, r.Topic, int32(len(bounds.Bounds)), lowest, loader.Apply); err != nil { //nolint:gosec // Kafka has fewer partitions
		return fmt.Errorf("outbox: %w", err)
	}
	n, err := loader.Finish(ctx, bounds)
	if err != nil {
		return err
	}
	r.say("%d events that the topic no longer has are loaded out of the outbox", n)
	return nil
}

// lowest reads the topic, and returns its bounds and the lowest version of each order that is in it.
func (r *Rebuild) lowest(ctx context.Context) (view.Log, map[uuid.UUID]int64, error) {
	f, err := r.connect()
	if err != nil {
		return view.Log{}, nil, err
	}
	defer f.close()
	bounds, err := consumer.Log(ctx, f.admin, f.topic)
	if err != nil {
		return view.Log{}, nil, err
	}
	ends, err := f.ends(ctx)
	if err != nil {
		return view.Log{}, nil, err
	}
	starts := make(map[int32]kgo.Offset)
	for part, b := range bounds.Bounds {
		starts[part] = kgo.NewOffset().At(b.Start)
		if ends[part] <= b.Start {
			delete(ends, part)
		}
	}
	client, err := f.read(starts)
	if err != nil {
		return view.Log{}, nil, err
	}
	defer client.Close()
	lowest := make(map[uuid.UUID]int64)
	for len(ends) > 0 {
		fetches := client.PollRecords(ctx, 4*batch)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return view.Log{}, nil, fmt.Errorf("read topic %s: %w", r.Topic, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			note(record, lowest)
			if record.Offset >= ends[record.Partition]-1 {
				delete(ends, record.Partition)
			}
		})
	}
	return bounds, lowest, nil
}

// note takes note of an event's version, if it is the lowest of its order. What is no event will be a dead letter. What has come since
// the end was asked for does no harm: it is higher, or of an order that is in no snapshot.
func note(record *kgo.Record, lowest map[uuid.UUID]int64) {
	m, err := topic.ParseEvent(record)
	if record.Attrs.IsControl() || err != nil {
		return
	}
	if v, known := lowest[m.Order]; !known || m.Version < v {
		lowest[m.Order] = m.Version
	}
}

// eventLog is one snapshot of the outbox.
type eventLog struct {
	conn *pgx.Conn
	tx   pgx.Tx
	end  outbox.LSN // what the snapshot sees was committed below it
}

func openEventLog(ctx context.Context, url string) (*eventLog, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("--orders-url: want postgres://user:password@host:port/orders") // err may hold the password
	}
	for name, value := range map[string]string{
		"application_name": "projector-rebuild", "datestyle": "ISO", "timezone": "UTC", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	l := &eventLog{conn: conn}
	if l.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err == nil {
		// The first statement takes the snapshot, so the second one's position is behind it.
		if _, err = l.tx.Exec(ctx, "SELECT 1"); err == nil {
			err = l.tx.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&l.end)
		}
	}
	if err != nil {
		l.close(ctx)
		return nil, err
	}
	return l, nil
}

func (l *eventLog) close(ctx context.Context) { _ = l.conn.Close(context.WithoutCancel(ctx)) } // nothing was written

const passed = `
SELECT coalesce(bool_and(confirmed_flush_lsn - '0/0' >= $1), false)
FROM pg_replication_slots
WHERE database = current_database()
  AND plugin = 'pgoutput'`

// published waits until the relays have told Postgres that the snapshot is published.
func (l *eventLog) published(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var done bool
		if err := l.tx.QueryRow(ctx, passed, int64(l.end)).Scan(&done); err != nil { //nolint:gosec // a log is not that long
			return err
		}
		if done {
			return nil
		}
		if ops.Sleep(ctx, pause) != nil {
			return fmt.Errorf("the relay has not published everything up to %s within a minute; does it run? relay status says more", l.end)
		}
	}
}

const selectRows = `
SELECT seq::text, id::text, aggregateid::text, type, version, payload::text, headers::text, occurred_at::text
FROM outbox
ORDER BY outbox.seq` // the number: seq alone is the text that is selected

// lost calls apply with the rows whose versions are below the lowest ones, a batch of a partition at a time. The order by seq is that of
// the versions in each order.
func (l *eventLog) lost(ctx context.Context, name string, partitions int32, lowest map[uuid.UUID]int64,
	apply func(context.Context, int32, []view.Event) error,
) error {
	records := make(map[int32][]*kgo.Record)
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(name)
	flush := func(part int32) error {
		events := consumer.Events(records[part])
		records[part] = nil
		return apply(ctx, part, events)
	}
	rows, err := l.tx.Query(ctx, selectRows)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		record, seq, version, err := scanRecord(rows, name)
		if err != nil {
			return err
		}
		order, err := uuid.ParseBytes(record.Key)
		if err != nil {
			return err
		}
		if v, known := lowest[order]; known && version >= v {
			continue
		}
		part := int32(partitioner.Partition(record, int(partitions))) //nolint:gosec // below partitions
		record.Partition, record.Offset, record.LeaderEpoch = part, -seq, -1
		if records[part] = append(records[part], record); len(records[part]) == batch {
			if err := flush(part); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for part := range records {
		if err := flush(part); err != nil {
			return err
		}
	}
	return nil
}

// scanRecord makes the record that the relay has made of the row.
func scanRecord(rows pgx.Rows, name string) (record *kgo.Record, seq, version int64, err error) {
	var row outbox.Row
	if err := rows.Scan(&row.Seq, &row.ID, &row.AggregateID, &row.Type, &version, &row.Payload, &row.Headers, &row.OccurredAt); err != nil {
		return nil, 0, 0, err
	}
	row.Version = strconv.AppendInt(nil, version, 10)
	at, err := row.Time()
	if err != nil {
		return nil, 0, 0, err
	}
	if record, err = topic.Record(name, row, topic.Source{Name: "/orders", Committed: at}); err != nil {
		return nil, 0, 0, err
	}
	seq, err = strconv.ParseInt(string(row.Seq), 10, 64)
	return record, seq, version, err
}
