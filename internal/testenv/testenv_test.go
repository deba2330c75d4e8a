package testenv_test

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestOrdersHasTheSeed(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testenv.Orders(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var customers, items int
	err = conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM menu_items)").Scan(&customers, &items)
	if err != nil || customers != 100 || items != 20 {
		t.Fatalf("got %d customers and %d items, %v; want 100 and 20", customers, items, err)
	}
}

func TestTopicIsFresh(t *testing.T) {
	t.Parallel()
	b := testenv.Broker(t)
	if testenv.Topic(t, b, 3) == testenv.Topic(t, b, 3) {
		t.Fatal("twice the same topic")
	}
}
