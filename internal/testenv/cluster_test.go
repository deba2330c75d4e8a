package testenv_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestClusterKeepsItsDataAndAddressOverStopsAndKills(t *testing.T) {
	t.Parallel()
	c := testenv.NewCluster(t)
	url := c.Orders()
	endings := map[string]func(){
		"fast":      func() { c.Stop(pgserver.Fast) },
		"immediate": func() { c.Stop(pgserver.Immediate) },
		"kill":      c.Kill,
	}
	for name, end := range endings {
		end()
		c.Start()
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM customers").Scan(&n); err != nil || n != 100 {
			t.Fatalf("after %s: got %d customers, %v; want 100", name, n, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
