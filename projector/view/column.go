package view

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// column takes one column of rows.
func column[R, C any](rows []R, of func(R) C) array[C] {
	c := make(array[C], len(rows))
	for i, r := range rows {
		c[i] = of(r)
	}
	return c
}

func pgUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func same[T any](v T) T { return v }

// bucket is the UTC hour or minute that a time is in, as a map's key: times that differ in their location only are not
// equal for Go, and those that come from the database are local.
func bucket(t time.Time, width time.Duration) time.Time { return t.UTC().Truncate(width) }

func entry[K comparable, V any](m map[K]*V, key K) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}
