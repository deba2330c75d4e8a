package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// fingerprints are one of the rows of each table, whatever their order.
type fingerprints map[string]string

const selectFingerprint = `
SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0)
FROM %s AS t`

// rows takes the fingerprints of what the batches have written.
func (x *replays) rows(ctx context.Context, conn *pgx.Conn) (fingerprints, error) {
	prints := make(fingerprints)
	for _, table := range x.recording.tables {
		var of string
		if err := conn.QueryRow(ctx, fmt.Sprintf(selectFingerprint, table)).Scan(&of); err != nil {
			return nil, fmt.Errorf("fingerprint of %s: %w", table, err)
		}
		prints[table] = of
	}
	return prints, nil
}

// differ are the tables whose rows are others.
func (f fingerprints) differ(got fingerprints) (tables []string) {
	for table, of := range f {
		if got[table] != of {
			tables = append(tables, table)
		}
	}
	return tables
}
