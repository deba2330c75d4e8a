package view

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Letter is a dead letter as it is stored.
type Letter struct {
	Part    int32
	Offset  int64
	Order   uuid.UUID // Nil if the record's key is none
	Version int64     // 0 if it is not known
	Reason  Reason
	Error   string
	State   string // waiting, redriven or discarded
	Parked  time.Time
	Settled *time.Time
	Note    string // why it was discarded
	Record  Record
}

// Which says which letters are meant. The zero value means all.
type Which struct {
	Order  uuid.UUID // of this order; Nil for those of any
	Record *Place    // the one at this place
	State  string    // in this state; empty for any
}

// Place is a record's place in the topic.
type Place struct {
	Part   int32
	Offset int64
}

const selectLetters = `
SELECT part, record_offset, coalesce(order_id, '00000000-0000-0000-0000-000000000000'), coalesce(version, 0), reason, error, state,
       parked_at, settled_at, coalesce(note, ''), key, value, headers, recorded_at
FROM dead_letters
WHERE topic = $1
  AND ($2::uuid IS NULL OR order_id = $2)
  AND ($3::integer IS NULL OR part = $3 AND record_offset = $4)
  AND ($5 = '' OR state = $5)
ORDER BY part, record_offset`

func (w Which) args(topic string) []any {
	args := []any{topic, pgtype.UUID{Bytes: w.Order, Valid: w.Order != uuid.Nil}, nil, nil, w.State}
	if w.Record != nil {
		args[2], args[3] = w.Record.Part, w.Record.Offset
	}
	return args
}

// Letters returns the topic's dead letters, by partition and offset.
func (v *View) Letters(ctx context.Context, which Which) ([]Letter, error) {
	rows, _ := v.pool.Query(ctx, selectLetters, which.args(v.topic)...)
	letters, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return letters, nil
}

func scanLetter(row pgx.CollectableRow) (l Letter, err error) {
	var headers []byte
	err = row.Scan(&l.Part, &l.Offset, (*[16]byte)(&l.Order), &l.Version, &l.Reason, &l.Error, &l.State,
		&l.Parked, &l.Settled, &l.Note, &l.Record.Key, &l.Record.Value, &headers, &l.Record.At)
	if err != nil {
		return l, err
	}
	l.Record.Headers, err = decodeHeaders(headers)
	return l, err
}

// Orders are the letters' orders, each once, in their order.
func Orders(letters []Letter) (orders []uuid.UUID) {
	known := map[uuid.UUID]bool{uuid.Nil: true}
	for _, l := range letters {
		if !known[l.Order] {
			known[l.Order] = true
			orders = append(orders, l.Order)
		}
	}
	return orders
}

// Letters without an order count as one each: a topic that is full of what is no event stops its partition too.
const countBlocked = `
SELECT part, count(DISTINCT order_id) + count(*) FILTER (WHERE order_id IS NULL)
FROM dead_letters
WHERE state = 'waiting'
  AND topic = $1
GROUP BY part`

// Blocked returns how many orders have waiting letters, by partition. Letters without an order count as one each.
func (v *View) Blocked(ctx context.Context) (map[int32]int, error) {
	rows, _ := v.pool.Query(ctx, countBlocked, v.topic)
	n, err := scanBlocked(rows)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	return n, nil
}

func scanBlocked(rows pgx.Rows) (map[int32]int, error) {
	var (
		n    = make(map[int32]int)
		part int32
		one  int
	)
	_, err := pgx.ForEachRow(rows, []any{&part, &one}, func() error {
		n[part] = one
		return nil
	})
	return n, err
}

// encodeHeaders keeps bytes as they are: a header need not be text.
func encodeHeaders(headers []Header) string {
	pairs := make([][2]*string, len(headers))
	for i, h := range headers {
		name := base64.StdEncoding.EncodeToString([]byte(h.Key))
		pairs[i][0] = &name
		if h.Value != nil {
			value := base64.StdEncoding.EncodeToString(h.Value)
			pairs[i][1] = &value
		}
	}
	encoded, _ := json.Marshal(pairs) //nolint:errchkjson // strings always can be
	return string(encoded)
}

func decodeHeaders(encoded []byte) ([]Header, error) {
	var pairs [][2]*string
	if err := json.Unmarshal(encoded, &pairs); err != nil {
		return nil, fmt.Errorf("%w: headers of a dead letter: %w", errStored, err)
	}
	headers := make([]Header, len(pairs))
	for i, pair := range pairs {
		if pair[0] == nil {
			return nil, fmt.Errorf("%w: a header of a dead letter has no name", errStored)
		}
		name, err := base64.StdEncoding.DecodeString(*pair[0])
		if err != nil {
			return nil, fmt.Errorf("%w: headers of a dead letter: %w", errStored, err)
		}
		headers[i].Key = string(name)
		if pair[1] == nil {
			continue
		}
		if headers[i].Value, err = base64.StdEncoding.DecodeString(*pair[1]); err != nil {
			return nil, fmt.Errorf("%w: headers of a dead letter: %w", errStored, err)
		}
	}
	return headers, nil
}
