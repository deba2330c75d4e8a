package bench

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// OrdersCheck says what is wrong with the orders that were placed. All but Answered and Foreign must be zero, or the
// figures are void.
type OrdersCheck struct {
	Answered int64 `json:"answered"` // orders that an answer said were placed
	Foreign  int64 `json:"pgbench"`  // orders that pgbench said it placed
	Missing  int64 `json:"missing"`  // of both, not in the log (I12)
	Extra    int64 `json:"extra"`    // in the log, and nobody was told
	Twice    int64 `json:"twice"`    // answers about an order that another answer was about
	Holes    int64 `json:"holes"`    // orders whose versions are not 1..n (I2)
	Torn     int64 `json:"torn"`     // orders whose row is not at the version of their last event (I1)
}

// Clean says whether nothing was found.
func (c OrdersCheck) Clean() bool { return c.Missing+c.Extra+c.Twice+c.Holes+c.Torn == 0 }

// An id of pgbench's begins with zeros; ours begin with the time.
const selectPlaced = `
SELECT aggregateid
FROM outbox
WHERE version = 1`

const countHoles = `
SELECT count(*)
FROM (SELECT FROM outbox GROUP BY aggregateid HAVING min(version) <> 1 OR max(version) <> count(*)) AS holes`

const countTorn = `
SELECT count(*)
FROM orders o
FULL JOIN (SELECT aggregateid, max(version) AS version FROM outbox GROUP BY aggregateid) AS e ON e.aggregateid = o.id
WHERE o.version IS DISTINCT FROM e.version`

// check compares all that was answered with what is in the log.
func (t *ordersTrial) check(ctx context.Context) (c OrdersCheck, err error) {
	t.Progress("checking that each order that was answered is in the log")
	known := t.answered.ids
	c.Answered, c.Foreign, c.Twice = int64(len(known)), t.foreign, t.answered.twice
	rows, _ := t.db.Query(ctx, selectPlaced) //nolint:rowserrcheck // ForEachRow checks it
	var (
		id             uuid.UUID
		found, foreign int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		_, answered := known[id]
		switch {
		case answered:
			found++
		case [6]byte(id[:6]) == [6]byte{}:
			foreign++
		default:
			c.Extra++
		}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("orders in the log: %w", err)
	}
	c.Missing = c.Answered - found + max(0, c.Foreign-foreign)
	// One whose answer was lost may have been placed all the same.
	c.Extra = max(0, c.Extra-t.answered.lost) + max(0, foreign-c.Foreign)
	for statement, to := range map[string]*int64{countHoles: &c.Holes, countTorn: &c.Torn} {
		if err := t.db.QueryRow(ctx, statement).Scan(to); err != nil {
			return c, fmt.Errorf("versions in the log: %w", err)
		}
	}
	return c, nil
}
