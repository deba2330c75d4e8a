package sql_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// What is not copied here is found missing weeks later: a table that bloats, an index, a right.
func TestTablesOfARebuildAreAsTheLiveOnes(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.ReadModel(t))
	if _, err := conn.Exec(t.Context(), "SELECT read_model_begin()"); err != nil {
		t.Fatal(err)
	}
	live := describe(t, conn, "public")
	if diff := cmp.Diff(describe(t, conn, "rebuild"), live); diff != "" {
		t.Errorf("rebuild (-got +public):\n%s", diff)
	}
	if len(live) < 100 {
		t.Errorf("only %d things were compared", len(live))
	}
	if _, err := conn.Exec(t.Context(), "SELECT read_model_swap('rebuild')"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, conn, "former"), live); diff != "" {
		t.Errorf("former (-got +public):\n%s", diff)
	}
	if diff := cmp.Diff(describe(t, conn, "public"), live); diff != "" {
		t.Errorf("after the swap (-got +before):\n%s", diff)
	}
}

// describe lists all that a read model's tables and views consist of, without the schema's name and the names of indexes, which
// Postgres chooses.
func describe(t *testing.T, conn *pgx.Conn, schema string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
WITH mine AS (
  SELECT c.* FROM pg_class AS c JOIN read_model_relations($1) AS r ON r.relation = c.oid
)
SELECT format('relation %s %s %s %s', relname, relkind, reloptions, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) AS a)) FROM mine
UNION ALL
SELECT format('column %s.%s %s %s %s', relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(d.adbin, d.adrelid))
FROM mine JOIN pg_attribute AS a ON attrelid = mine.oid LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT format('constraint %s %s %s', relname, conname, pg_get_constraintdef(k.oid)) FROM mine JOIN pg_constraint AS k ON conrelid = mine.oid
UNION ALL
SELECT format('index %s %s', relname, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '')) FROM mine JOIN pg_index ON indrelid = mine.oid
UNION ALL
SELECT format('view %s %s', relname, pg_get_viewdef(oid)) FROM mine WHERE relkind = 'v'
ORDER BY 1`, schema)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], schema+".", "")
	}
	return lines
}

// A migration that comes while a read model is being made, or after a cut-over, must not be swapped away.
func TestASwapRefusesOtherTables(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.ReadModel(t))
	exec := func(sql string) error {
		_, err := conn.Exec(t.Context(), sql)
		return err
	}
	must := func(sql string) {
		t.Helper()
		if err := exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	must("SELECT read_model_begin()")
	must("CREATE TABLE courier_stats (courier integer)")
	if err := exec("SELECT read_model_swap('rebuild')"); err == nil || !strings.Contains(err.Error(), "courier_stats") {
		t.Errorf("a table that rebuild lacks: %v", err)
	}
	must("DROP TABLE courier_stats")
	must("CREATE VIEW of_an_extension AS SELECT 1; ALTER EXTENSION plpgsql ADD VIEW of_an_extension")
	must("SELECT read_model_swap('rebuild')")
	must("CREATE VIEW couriers AS SELECT 1")
	if err := exec("SELECT read_model_swap('former')"); err == nil || !strings.Contains(err.Error(), "couriers") || strings.Contains(err.Error(), "extension") {
		t.Errorf("a view that former lacks: %v", err)
	}
}
