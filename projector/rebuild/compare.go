package rebuild

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// compare compares the two read models in one snapshot, which is taken while both are at the same offsets: the live one goes on while
// the rows are read.
func (r *Rebuild) compare(ctx context.Context) error {
	r.say("comparing it with the live one")
	var tx pgx.Tx
	err := held(ctx, r.live, "EXCLUSIVE", r, func(pgx.Tx, vector) (err error) { // which lets readers go on
		tx, err = snapshot(ctx, r.live)
		return err
	})
	if tx != nil {
		defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	}
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	found, err := differences(ctx, tx)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	for _, d := range found {
		r.say("  %s", d)
	}
	switch {
	case len(found) == 0:
		r.say("they are equal")
	case r.Accept:
		r.say("accepted as it is")
	default:
		return ErrDiffers
	}
	return nil
}

func snapshot(ctx context.Context, live *pgxpool.Pool) (pgx.Tx, error) {
	tx, err := live.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT 1") // which takes it
	return tx, err
}

// compared are the tables that both have. Where a row is in the topic, and its payload, are not compared: rows from before they were
// kept lack them, and what came out of the outbox has none. Nor are a projector's own notes, nor a read model that is new: the live one
// does not hold it. A table has the name of its read model, and _shard behind it if it is kept by partition.
const compared = `
SELECT name,
       CASE name
         WHEN 'order_timeline' THEN 'ROW(t.order_id, t.version, t.event_id, t.type, t.at)::text'
         WHEN 'projection_offsets' THEN 'ROW(t.topic, t.part, t.topic_id, t.next_offset, t.applied_events, t.duplicate_events)::text'
         WHEN 'dead_letters' THEN '(CASE WHEN t.state <> ''redriven'' THEN
           ROW(t.topic, t.part, CASE WHEN t.version IS NULL THEN t.record_offset END, t.order_id, t.version, t.state)::text END)'
         ELSE 't::text'
       END
FROM read_model_relations('rebuild') AS n
WHERE kind = 'r'
  AND (name IN ('projection_offsets', 'dead_letters') OR regexp_replace(name, '_shard$', '') IN (SELECT m.name FROM public.read_models AS m))
  AND EXISTS (SELECT FROM read_model_relations('public') AS l WHERE (l.name, l.kind) = (n.name, n.kind))
ORDER BY name`

// Sums of hashes do not depend on the order of the rows, so that none need be sorted.
const summed = `
SELECT (SELECT ROW(count(%[2]s), coalesce(sum(hashtextextended(%[2]s, 0)::numeric), 0))::text FROM public.%[1]s AS t),
       (SELECT ROW(count(%[2]s), coalesce(sum(hashtextextended(%[2]s, 0)::numeric), 0))::text FROM rebuild.%[1]s AS t)`

const rowsOfOne = `
(SELECT 'only live: ' || r FROM (SELECT %[2]s AS r FROM public.%[1]s AS t EXCEPT SELECT %[2]s FROM rebuild.%[1]s AS t) AS d WHERE r IS NOT NULL ORDER BY r LIMIT 3)
UNION ALL
(SELECT 'only new: ' || r FROM (SELECT %[2]s AS r FROM rebuild.%[1]s AS t EXCEPT SELECT %[2]s FROM public.%[1]s AS t) AS d WHERE r IS NOT NULL ORDER BY r LIMIT 3)`

// differences says, for each table that differs, which rows do, a few of them.
func differences(ctx context.Context, tx pgx.Tx) (found []string, err error) {
	type table struct{ Name, Row string }
	rows, _ := tx.Query(ctx, compared)
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		name := pgx.Identifier{t.Name}.Sanitize()
		var live, made string
		if err := tx.QueryRow(ctx, fmt.Sprintf(summed, name, t.Row)).Scan(&live, &made); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		if live == made {
			continue
		}
		rows, _ := tx.Query(ctx, fmt.Sprintf(rowsOfOne, name, t.Row))
		some, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		found = append(found, t.Name+" differs\n    "+strings.Join(some, "\n    "))
	}
	return found, nil
}
