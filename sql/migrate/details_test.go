package migrate_test

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

// upTo is the schema as it was at a version.
func upTo(t *testing.T, s sql.Schema, version uint) sql.Schema {
	t.Helper()
	older := fstest.MapFS{}
	for n := range version {
		names, err := fs.Glob(s.Files, fmt.Sprintf("%04d_*", n+1))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			content, err := fs.ReadFile(s.Files, name)
			if err != nil {
				t.Fatal(err)
			}
			older[name] = &fstest.MapFile{Data: content}
		}
	}
	return sql.Schema{Name: s.Name, Files: older, Newest: version}
}

// people reads ids and details from what a query makes of them.
func people(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, _ := conn.Query(t.Context(), query) // CollectRows returns its error
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const (
	inOne = `SELECT concat_ws('|', id, name, email, address) FROM customers ORDER BY id`
	apart = `SELECT concat_ws('|', customer_id, name, email, address) FROM customer_details ORDER BY customer_id`
)

func TestPersonalDataMoveToTheirOwnTableAndBack(t *testing.T) {
	t.Parallel()
	url := testenv.Empty(t)
	if err := migrate.Up(t.Context(), url, upTo(t, sql.Orders, 7)); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	before := people(t, conn, inOne)
	if err := migrate.Up(t.Context(), url, sql.Orders); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, url)
	if diff := cmp.Diff(before, people(t, conn, apart)); diff != "" || len(before) != 100 {
		t.Errorf("up (-before +after):\n%s", diff)
	}

	// What a column held that was dropped is still in the rows, unless they were written anew.
	var kept bool
	if _, err := conn.Exec(t.Context(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	err := conn.QueryRow(t.Context(), "SELECT position('Saffron'::bytea IN pg_read_binary_file(pg_relation_filepath('customers'))) > 0").Scan(&kept)
	if err != nil || kept {
		t.Errorf("an address is still in the file of customers: %v, %v", kept, err)
	}

	if _, err := conn.Exec(t.Context(), "UPDATE customers SET erased_at = now() WHERE id = 17; DELETE FROM customer_details WHERE customer_id = 17"); err != nil {
		t.Fatal(err)
	}
	down, err := fs.ReadFile(sql.Orders.Files, "0008_customer_details.down.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), string(down)); err != nil {
		t.Fatal(err)
	}
	before[16] = "17|erased|erased 17|erased"
	if diff := cmp.Diff(before, people(t, connect(t, url), inOne)); diff != "" {
		t.Errorf("down (-before +after):\n%s", diff)
	}
}
