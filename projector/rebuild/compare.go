package rebuild

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// freeze calls do while the live read model stands still and the new one is at exactly its offsets.
func (r *Rebuild) freeze(ctx context.Context, do func() error) error {
	for {
		err := pgx.BeginFunc(ctx, r.live, func(tx pgx.Tx) error {
			at, err := offsets(ctx, tx, selectOffsets+" FOR UPDATE", r.Topic)
			if err != nil {
				return err
			}
			held, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errSlow)
			defer cancel()
			if err := r.advance(held, at); err != nil {
				return err
			}
			if err := r.settle(held); err != nil {
				return err
			}
			return do()
		})
		if !errors.Is(err, errSlow) {
			return err
		}
		if err := r.catchUp(ctx); err != nil {
			return err
		}
	}
}

// compare compares the two read models in one snapshot, which is taken while both are at the same offsets: the live one goes on while
// the rows are read.
func (r *Rebuild) compare(ctx context.Context) error {
	r.say("comparing it with the live one")
	conn, err := r.live.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	err = r.freeze(ctx, func() error {
		_, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT 1") // takes the snapshot
		return err
	})
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

// compared are the tables that both have. Where a row is in the topic, and its payload, are not compared: rows from before they were
// kept lack them. Nor are a projector's own notes, nor a read model that is new: the live one does not hold it. A table has the name
// of its read model, and _shard behind it if it is kept by partition.
const compared = `
SELECT name,
       CASE name
         WHEN 'order_timeline' THEN 'ROW(t.order_id, t.version, t.event_id, t.type, t.at)::text'
         WHEN 'projection_offsets' THEN 'ROW(t.topic, t.part, t.topic_id, t.next_offset, t.applied_events, t.duplicate_events)::text'
         WHEN 'dead_letters' THEN '(CASE WHEN t.state <> ''redriven'' THEN ROW(t.topic, t.part, t.record_offset, t.order_id, t.version, t.state)::text END)'
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
	var name, row string
	columns := make(map[string]string)
	rows, _ := tx.Query(ctx, compared) //nolint:rowserrcheck // ForEachRow checks it
	var names []string
	_, err = pgx.ForEachRow(rows, []any{&name, &row}, func() error {
		names, columns[name] = append(names, name), row
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		table := pgx.Identifier{name}.Sanitize()
		var live, made string
		if err := tx.QueryRow(ctx, fmt.Sprintf(summed, table, columns[name])).Scan(&live, &made); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if live == made {
			continue
		}
		rows, _ := tx.Query(ctx, fmt.Sprintf(rowsOfOne, table, columns[name]))
		some, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found = append(found, name+" differs\n    "+strings.Join(some, "\n    "))
	}
	return found, nil
}
