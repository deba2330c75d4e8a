package sql_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

func TestMigrationsAreNumberedWithoutAHoleAndEachHasAWayBack(t *testing.T) {
	t.Parallel()
	for _, s := range []sql.Schema{sql.Orders, sql.ReadModel} {
		ups, err := fs.Glob(s.Files, "*.up.sql")
		if err != nil {
			t.Fatal(err)
		}
		if len(ups) == 0 || uint(len(ups)) != s.Newest {
			t.Errorf("%s: %d files, the newest is %d", s.Name, len(ups), s.Newest)
		}
		for i, up := range ups {
			if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(up, want) {
				t.Errorf("%s/%s: want a name that begins with %s", s.Name, up, want)
			}
			down := strings.TrimSuffix(up, ".up.sql") + ".down.sql"
			if _, err := fs.Stat(s.Files, down); err != nil {
				t.Errorf("%s/%s has no way back: %v", s.Name, up, err)
			}
		}
	}
}

func TestCheckTellsWhatToDo(t *testing.T) {
	t.Parallel()
	newest := sql.Orders.Newest
	cases := []struct {
		name, change, want string // want "" is no error
	}{
		{"as it should be", "", ""},
		{"newer than the program", "UPDATE schema_migrations SET version = version + 1", ""},
		{
			"older", "UPDATE schema_migrations SET version = version - 1",
			fmt.Sprintf("wrong schema: the orders schema is at version %d, this program needs %d: run foodctl migrate", newest-1, newest),
		},
		{
			"dirty", "UPDATE schema_migrations SET dirty = true",
			fmt.Sprintf("wrong schema: the orders schema is dirty at version %d, a migration broke off: run foodctl migrate, it says what to do", newest),
		},
		{"nothing applied", "DELETE FROM schema_migrations", "wrong schema: the database has no orders schema: run foodctl migrate"},
		{"empty database", "DROP TABLE schema_migrations", "wrong schema: the database has no orders schema: run foodctl migrate"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, testenv.Orders(t))
			if _, err := conn.Exec(t.Context(), c.change); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := sql.Check(t.Context(), conn, sql.Orders); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestCheckTakesAPool(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), testenv.ReadModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := sql.Check(t.Context(), pool, sql.ReadModel); err != nil {
		t.Error(err)
	}
}

func TestSeedIsAHundredCustomersAndTwentyItems(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.Orders(t))
	for table, want := range map[string]int{"customers": 100, "menu_items": 20, "customer_details": 100} {
		key := "id"
		if table == "customer_details" {
			key = "customer_id"
		}
		rows, err := conn.Query(t.Context(), fmt.Sprintf("SELECT %s FROM %s ORDER BY 1", key, table))
		if err != nil {
			t.Fatal(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) != want || ids[0] != 1 || ids[want-1] != want {
			t.Errorf("%s: got the ids %v, want 1 to %d", table, ids, want)
		}
	}
}
