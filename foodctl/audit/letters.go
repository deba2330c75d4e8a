package audit

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// letters are the projector's dead letters that are not applied, by the place of their records: the read model passes them by and says
// so. Each that is an event of the source is a finding, since it has not changed the read model; what follows from it is none.
type letters struct {
	table Table
	why   map[place]string
}

const selectLetters = `
SELECT part, record_offset, concat_ws(', ', reason, state, error, 'discarded because: ' || note)
FROM dead_letters
WHERE topic = $1
  AND state <> 'redriven'`

func openLetters(ctx context.Context, tx pgx.Tx, topic string) (*letters, error) {
	l := &letters{table: Table{Name: "dead_letters"}, why: make(map[place]string)}
	var (
		part   int32
		offset int64
		why    string
	)
	rows, _ := tx.Query(ctx, selectLetters, topic) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&part, &offset, &why}, func() error {
		l.table.Rows++
		l.why[at(part, offset)] = why
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	return l, nil
}

// parked reports an event of the source that is a dead letter.
func (m *model) parked(e event.Event) {
	number, known := m.events.find(e.ID)
	if !known {
		return
	}
	p := m.events.places[number]
	why, is := m.letters.why[p]
	if !is {
		return
	}
	m.wrong(&m.letters.table, Offender{
		Partition: new(p.partition()), Offset: new(p.offset()), Event: e.ID, Order: e.Order, Version: e.Version,
		Detail: "not applied: " + why + "; see projector letters",
	})
}
