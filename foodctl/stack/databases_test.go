package stack

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// prepared is a server with a system's databases, which are dropped when the test ends.
func prepared(t *testing.T) (*server, Names, logins) {
	t.Helper()
	s, err := newServer(t.Context(), testenv.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	n := ScratchNames(testenv.Name(t)[:20] + strings.ReplaceAll(uuid.NewString()[:8], "-", ""))
	l := newLogins(n.Login)
	if err := s.prepare(t.Context(), n, l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stack := &Stack{server: s, logins: l, config: Config{Names: n}}
		if err := stack.Scrub(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s, n, l
}

func TestPreparingTwiceChangesNothingButPasswords(t *testing.T) {
	t.Parallel()
	s, n, _ := prepared(t)
	again := newLogins(n.Login)
	if err := s.prepare(t.Context(), n, again); err != nil {
		t.Fatal(err)
	}
	connectAs(t, s, again.writer, n.OrdersDB, func(conn *pgx.Conn) {
		var customers int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM customers`).Scan(&customers); err != nil || customers != 100 {
			t.Errorf("%d customers, %v: want 100", customers, err)
		}
	})
}

func TestEachLoginMayDoItsOwnPartOnly(t *testing.T) {
	t.Parallel()
	s, n, l := prepared(t)
	for _, tt := range []struct {
		login     access.Login
		database  string
		may, must string // what it may do, and what it must not
	}{
		{l.writer, n.OrdersDB, `SELECT count(*) FROM outbox`, `DELETE FROM outbox`},
		{l.relay, n.OrdersDB, `SELECT count(*) FROM outbox`, `SELECT count(*) FROM customers`},
		{l.reader, n.ReadModelDB, `SELECT count(*) FROM order_summary`, `DELETE FROM kitchen_board`},
		{l.projector, n.ReadModelDB, `SELECT count(*) FROM projection_offsets`, `DROP TABLE order_timeline`},
	} {
		connectAs(t, s, tt.login, tt.database, func(conn *pgx.Conn) {
			if _, err := conn.Exec(t.Context(), tt.may); err != nil {
				t.Errorf("%s: %s: %v", tt.login.Group, tt.may, err)
			}
			if _, err := conn.Exec(t.Context(), tt.must); err == nil {
				t.Errorf("%s may %s", tt.login.Group, tt.must)
			}
		})
	}
}

func connectAs(t *testing.T, s *server, l access.Login, database string, do func(*pgx.Conn)) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.urlAs(l, database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	do(conn)
}

func TestTheTopicIsFilledAnewOnlyIfTheDevBrokerForgotIt_I7(t *testing.T) {
	t.Parallel()
	dev := home{Cluster: "dev-1", TopicID: "a", Topic: "food-orders", Dev: true}
	devAnew := home{Cluster: "dev-2", TopicID: "b", Topic: "food-orders", Dev: true}
	kafka := home{Cluster: "k", TopicID: "c", Topic: "food-orders"}
	remade := home{Cluster: "k", TopicID: "d", Topic: "food-orders"}
	for _, tt := range []struct {
		name     string
		was, now home
		orders   bool
		refill   bool
		moved    bool
	}{
		{name: "fresh on the dev broker", now: dev},
		{name: "fresh on real brokers", now: kafka},
		{name: "unknown orders on real brokers are the relay's to judge", now: kafka, orders: true},
		{name: "unknown orders on the dev broker", now: dev, orders: true, moved: true},
		{name: "the same real topic", was: kafka, now: kafka, orders: true},
		{name: "the dev broker was started again", was: dev, now: devAnew, orders: true, refill: true},
		{name: "from the dev broker to real ones", was: dev, now: kafka, orders: true, refill: true},
		{name: "from real brokers to the dev broker", was: kafka, now: dev, orders: true, moved: true},
		{name: "the real topic was made again", was: kafka, now: remade, orders: true, moved: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			refill, err := tt.was.move(tt.now, tt.orders)
			if errors.Is(err, errMoved) != tt.moved {
				t.Fatalf("error %v: want a refusal: %v", err, tt.moved)
			}
			if refill != tt.refill {
				t.Errorf("refill %v, want %v", refill, tt.refill)
			}
		})
	}
}

func TestTheHomeOfTheEventsIsKeptWithThem(t *testing.T) {
	t.Parallel()
	s, n, _ := prepared(t)
	dev := home{Cluster: "dev-1", TopicID: "it's", Topic: "food-orders", Dev: true}
	if err := s.moveIn(t.Context(), n, dev); err != nil {
		t.Fatal(err)
	}
	placeOne(t, s, n)
	if refill, err := s.settle(t.Context(), n, dev); refill || err != nil {
		t.Errorf("the same topic: refill %v, %v", refill, err)
	}
	dev.TopicID = "another"
	if refill, err := s.settle(t.Context(), n, dev); !refill || err != nil {
		t.Errorf("another topic: refill %v, %v: want a refill", refill, err)
	}
	if err := s.renew(t.Context(), n); err != nil {
		t.Error(err)
	}
}

func placeOne(t *testing.T, s *server, n Names) {
	t.Helper()
	err := s.connect(t.Context(), n.OrdersDB, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
VALUES ($1, 'order', $2, 'order.placed.v1', 1, '{}', now())`, uuid.New(), uuid.New())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoErrorHoldsThePassword(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testenv.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "hunter2-hunter2")
	u.Path = "/nowhere"
	if _, err = newServer(t.Context(), u.String()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v: want one without the password", err)
	}
}
