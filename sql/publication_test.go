package sql_test

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// Of the outbox the stream holds inserts only, so that pruning never reaches it, and nothing filters them.
func TestPublicationHoldsTheOutboxInsertsAndNothingElse_I3(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.Orders(t))
	var definition string
	err := conn.QueryRow(t.Context(), `
SELECT concat_ws(' ', p.pubname, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
    (SELECT string_agg(concat_ws('.', t.schemaname, t.tablename, t.rowfilter), ',')
     FROM pg_publication_tables AS t
     WHERE t.pubname = p.pubname))
FROM pg_publication AS p`).Scan(&definition)
	if err != nil {
		t.Fatal(err)
	}
	if want := "outbox f t f f f f public.outbox"; definition != want {
		t.Errorf("got %q, want %q", definition, want)
	}
}
