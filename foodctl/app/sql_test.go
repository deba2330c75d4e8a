package app

import (
	"io"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestSQLAsksADatabaseAndChangesNothing(t *testing.T) {
	t.Parallel()
	urls := []string{"--orders-url", testenv.Orders(t), "--readmodel-url", testenv.ReadModel(t)}
	for _, tt := range []struct {
		args []string
		want string // of the output, or the error
	}{
		{[]string{"orders", "SELECT id, name, NULL AS nothing FROM menu_items ORDER BY id LIMIT 2"}, "id  name          nothing\n1   Tomato Soup   NULL\n2   Garlic Bread  NULL\n(2 rows)\n"},
		{[]string{"orders", "SELECT id, NULL AS nothing FROM menu_items WHERE id = 3", "--json"}, `{"id":"3","nothing":null}` + "\n"},
		{[]string{"readmodel", "SELECT count(*) FROM order_summary"}, "count\n0\n(1 row)\n"},
		{[]string{"orders", "SELECT repeat('x', 1000) || E'\n' AS long"}, "long\n" + strings.Repeat("x", 160) + "...\n(1 row)\n"},
		{[]string{"orders", "DELETE FROM menu_items"}, "read-only transaction"},
		{[]string{"orders", "COMMIT; DELETE FROM menu_items"}, "give one statement; nothing was run"},
		{[]string{"orders", "SELECT 1; SELECT 2"}, "give one statement; nothing was run"},
		{[]string{"orders", "SELECT set_config('transaction_read_only', 'off', false)"}, "must be set before any query"},
		{[]string{"orders", "SELECT nothing"}, `column "nothing" does not exist`},
	} {
		var out strings.Builder
		err := run(t.Context(), append(append([]string{"sql"}, tt.args...), urls...), &out, io.Discard)
		if got := out.String(); got != tt.want && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: %v, printed\n%s\nwant\n%s", tt.args, err, got, tt.want)
		}
	}
	var out strings.Builder
	if err := run(t.Context(), append([]string{"sql", "orders", "SELECT count(*) > 10 AS there FROM menu_items"}, urls...), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "there\nt\n(1 row)\n"; out.String() != want {
		t.Errorf("afterwards: %q, want %q", out.String(), want)
	}
}
