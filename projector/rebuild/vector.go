package rebuild

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// vector is an offset by partition: that of the next record.
type vector map[int32]int64

// String writes a vector as 0:12 1:7.
func (v vector) String() string {
	parts := make([]string, 0, len(v))
	for _, part := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, fmt.Sprintf("%d:%d", part, v[part]))
	}
	return strings.Join(parts, " ")
}

// behind is how many offsets are missing to the target, of all partitions together.
func (v vector) behind(target vector) (n int64) {
	for part, offset := range target {
		n += max(0, offset-v[part])
	}
	return n
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const selectOffsets = `
SELECT part, next_offset
FROM %s.projection_offsets
WHERE topic = $1
ORDER BY part`

// offsets reads where the read model in a schema is.
func offsets(ctx context.Context, db querier, schema, topic string) (vector, error) {
	v := make(vector)
	var (
		part int32
		next int64
	)
	rows, _ := db.Query(ctx, fmt.Sprintf(selectOffsets, schema), topic) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&part, &next}, func() error {
		v[part] = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("offsets of the read model in %s: %w", schema, err)
	}
	return v, nil
}
