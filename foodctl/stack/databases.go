package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

// prepare makes the databases, their schemas and the programs' logins, as far as they are not there.
func (s *server) prepare(ctx context.Context, n Names, l logins) error {
	err := s.connect(ctx, s.maintenance(), func(conn *pgx.Conn) error {
		return errors.Join(access.CreateDatabase(ctx, conn, n.OrdersDB), access.CreateDatabase(ctx, conn, n.ReadModelDB))
	})
	if err != nil {
		return err
	}
	if err := migrate.Up(ctx, s.url(n.OrdersDB), sql.Orders); err != nil {
		return err
	}
	if err := migrate.Up(ctx, s.url(n.ReadModelDB), sql.ReadModel); err != nil {
		return err
	}
	return s.connect(ctx, n.OrdersDB, func(conn *pgx.Conn) error {
		for _, login := range l.all() {
			if err := login.Ensure(ctx, conn); err != nil {
				return err
			}
		}
		return nil
	})
}

// maintenance is the database that the given URL names. It is there, and is none of ours.
func (s *server) maintenance() string {
	if len(s.admin.Path) < 2 {
		return "postgres"
	}
	return s.admin.Path[1:]
}

// home is the topic that a system's events went to, kept as the comment on its read model's database.
type home struct {
	Cluster string `json:"cluster"`
	TopicID string `json:"topic_id"`
	Topic   string `json:"topic"`
	Dev     bool   `json:"dev_broker"` // the topic is gone when foodctl is
}

func homeOf(t broker.Topic, dev bool) home {
	return home{Cluster: t.Cluster, TopicID: t.ID.String(), Topic: t.Name, Dev: dev}
}

// errMoved is returned for events whose topic is not the one at hand and may still exist.
var errMoved = errors.New("the events of this database are in another topic")

// settle says whether the topic at hand has to be filled anew from the outbox.
func (s *server) settle(ctx context.Context, n Names, now home) (refill bool, err error) {
	var (
		comment *string
		orders  bool
	)
	err = s.connect(ctx, n.OrdersDB, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
SELECT (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1),
       EXISTS (SELECT FROM outbox)`, n.ReadModelDB).Scan(&comment, &orders)
	})
	if err != nil {
		return false, fmt.Errorf("home of the events: %w", err)
	}
	var was home
	if comment != nil {
		_ = json.Unmarshal([]byte(*comment), &was) // anybody's comment, then: no home
	}
	return was.move(now, orders)
}

// move compares the topic that the events went to with the one at hand. A dev broker's topic is gone with its foodctl, and
// the new one is filled from the outbox. Any other may be there still, and is not to be forgotten by itself (I7). What is
// not known, the relay's own checks decide.
func (was home) move(now home, orders bool) (refill bool, err error) {
	unknown := was == home{}
	switch {
	case was == now, unknown && !now.Dev, unknown && !orders:
		return false, nil
	case was.Dev:
		return true, nil
	case unknown:
		return false, fmt.Errorf("%w: the orders database holds orders that foodctl's dev broker knows nothing of: "+
			"give --brokers the brokers that hold their events", errMoved)
	default:
		return false, fmt.Errorf("%w: %s (id %s) in Kafka cluster %s, and not the one at hand: give --brokers and --topic that one, "+
			"or start anew with --reset or another --data-dir", errMoved, was.Topic, was.TopicID, was.Cluster)
	}
}

// moveIn notes where the events go from now on. It comes last: noted before the topic is filled, a crash in between
// would leave the topic empty for good.
func (s *server) moveIn(ctx context.Context, n Names, now home) error {
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return s.connect(ctx, n.ReadModelDB, func(conn *pgx.Conn) error {
		statement, err := conn.PgConn().EscapeString(string(text))
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, fmt.Sprintf("COMMENT ON DATABASE %s IS '%s'", pgx.Identifier{n.ReadModelDB}.Sanitize(), statement))
		return err
	})
}

// renew empties the read model: its offsets belong to a topic that is gone.
func (s *server) renew(ctx context.Context, n Names) error {
	url := s.url(n.ReadModelDB)
	return errors.Join(migrate.Down(ctx, url, sql.ReadModel), migrate.Up(ctx, url, sql.ReadModel))
}

// Written is what a run has added to the event log.
type Written struct {
	Orders, Events int64
	First, Last    time.Time // when the first and the last order was placed
}

const selectRun = `
SELECT count(*) FILTER (WHERE version = 1 AND aggregatetype = 'order'),
       count(*),
       coalesce(min(occurred_at) FILTER (WHERE version = 1 AND aggregatetype = 'order'), now()),
       coalesce(max(occurred_at) FILTER (WHERE version = 1 AND aggregatetype = 'order'), now())
FROM outbox
WHERE seq > $1`

// Written is what has been added since the start.
func (s *Stack) Written(ctx context.Context) (Written, error) {
	var w Written
	err := s.server.connect(ctx, s.config.Names.OrdersDB, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, selectRun, s.before).Scan(&w.Orders, &w.Events, &w.First, &w.Last)
	})
	if err != nil {
		return w, fmt.Errorf("events of this run: %w", err)
	}
	return w, nil
}

// newest is the highest sequence number of the outbox, 0 if it is empty.
func (s *server) newest(ctx context.Context, n Names) (seq int64, err error) {
	err = s.connect(ctx, n.OrdersDB, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM outbox`).Scan(&seq)
	})
	return seq, err
}
