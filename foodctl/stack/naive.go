package stack

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/naive"
)

// startNaive starts what takes the relays' place, with a relay's rights and a table for its position. It is this program
// itself, by a hidden command.
func (s *Stack) startNaive(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	err = s.server.connect(ctx, s.config.Names.OrdersDB, func(conn *pgx.Conn) error {
		return naive.Prepare(ctx, conn, s.logins.relay.Name)
	})
	if err != nil {
		return err
	}
	if s.Publisher, err = s.run(ctx, "naive-publisher", self, 0, always(s.naiveEnv()), "naive-publisher"); err == nil {
		s.Publisher.URL = "" // it serves nothing
	}
	return err
}

func (s *Stack) naiveEnv() []string {
	return []string{
		"ORDERS_DATABASE_URL=" + s.server.urlAs(s.logins.relay, s.config.Names.OrdersDB),
		"KAFKA_BROKERS=" + s.Brokers(),
		"TOPIC=" + s.config.Names.Topic,
	}
}
