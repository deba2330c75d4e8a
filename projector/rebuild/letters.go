package rebuild

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// sameLetter tells whether the letters n of a read model and l of the live one are of the same event. One that came out of the outbox has
// no place in the topic, and is told by its order and version. A topic that was made anew has other records at the old offsets.
const sameLetter = `
n.topic = l.topic
AND ((n.part, n.record_offset) = (l.part, l.record_offset)
     OR least(n.record_offset, l.record_offset) < 0 AND (n.order_id, n.version) = (l.order_id, l.version))
AND n.key IS NOT DISTINCT FROM l.key
AND n.value IS NOT DISTINCT FROM l.value`

const copyDiscards = `
UPDATE %s.dead_letters AS n
SET state = l.state,
    settled_at = l.settled_at,
    note = l.note
FROM public.dead_letters AS l
WHERE l.topic = $1
  AND l.state = 'discarded'
  AND n.state = 'waiting'
  AND ` + sameLetter

const selectRedriven = `
SELECT DISTINCT n.order_id
FROM %s.dead_letters AS n
WHERE n.topic = $1
  AND n.state = 'waiting'
  AND n.order_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM public.dead_letters AS l WHERE l.state = 'waiting' AND ` + sameLetter + `)`

// settle does with the letters of a schema's read model what was done with the live one's: gives up those that were given up, and
// applies those that were applied.
func settle(ctx context.Context, live *pgxpool.Pool, schema string, v *view.View, topic string) error {
	if _, err := live.Exec(ctx, fmt.Sprintf(copyDiscards, schema), topic); err != nil {
		return fmt.Errorf("dead letters that were discarded: %w", err)
	}
	rows, _ := live.Query(ctx, fmt.Sprintf(selectRedriven, schema), topic)
	orders, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("dead letters that were redriven: %w", err)
	}
	for _, order := range orders {
		if _, err := v.Redrive(ctx, order, consumer.Decode); err != nil {
			return err
		}
	}
	return nil
}

const countParked = `
SELECT count(DISTINCT order_id) + count(*) FILTER (WHERE order_id IS NULL)
FROM public.dead_letters
WHERE topic = $1`

// blocked is how many orders may be blocked in the new read model: those that were so in the live one at any time may be at once here,
// until settle has done what was done there.
func (r *Rebuild) blocked(ctx context.Context) (int, error) {
	n := 0
	if err := r.live.QueryRow(ctx, countParked, r.Topic).Scan(&n); err != nil {
		return 0, fmt.Errorf("count dead letters: %w", err)
	}
	return n + r.MaxBlocked, nil
}
