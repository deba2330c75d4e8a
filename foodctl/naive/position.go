package naive

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const createPosition = `
CREATE TABLE IF NOT EXISTS naive_position (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT naive_position_one_row CHECK (one),
    seq bigint NOT NULL -- of the last outbox row that was published
);
INSERT INTO naive_position (seq)
VALUES (0)
ON CONFLICT DO NOTHING`

// Prepare makes the table of the position, which belongs to whoever calls it, and lets a login use it.
func Prepare(ctx context.Context, conn *pgx.Conn, login string) error {
	grant := "GRANT SELECT, UPDATE ON naive_position TO " + pgx.Identifier{login}.Sanitize()
	for _, statement := range []string{createPosition, grant} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("table naive_position: %w", err)
		}
	}
	return nil
}

const selectBehind = `
SELECT count(*)
FROM outbox
WHERE seq > (SELECT seq FROM naive_position)`

// Behind is how many rows are behind the position. All others are published, or passed over for good.
func Behind(ctx context.Context, url string) (rows int64, err error) {
	db, err := connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	if err = db.QueryRow(ctx, selectBehind).Scan(&rows); err != nil {
		err = fmt.Errorf("rows behind the position: %w", err)
	}
	return rows, err
}

func load(ctx context.Context, db *pgx.Conn) (seq int64, err error) {
	if err = db.QueryRow(ctx, `SELECT seq FROM naive_position`).Scan(&seq); err != nil {
		err = fmt.Errorf("load the position: %w", err)
	}
	return seq, err
}

func store(ctx context.Context, db *pgx.Conn, seq int64) error {
	if _, err := db.Exec(ctx, `UPDATE naive_position SET seq = $1`, seq); err != nil {
		return fmt.Errorf("store the position: %w", err)
	}
	return nil
}
