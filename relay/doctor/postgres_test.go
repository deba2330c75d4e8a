package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// ill is something that is wrong with a database, its role, publication or slot.
type ill struct {
	name    string
	harm    func(*patient)
	check   string
	verdict Verdict
	words   string
	code    int
	mends   bool // whether the remedy is one that a test can carry out
}

func does(statement string) func(*patient) {
	return func(p *patient) { p.sql(strings.NewReplacer("ROLE", p.role, "SLOT", p.config.Slot).Replace(statement)) }
}

var ills = []ill{
	{
		"no REPLICATION", does("ALTER USER ROLE NOREPLICATION"), "replication connection", Wrong,
		"SQLSTATE 42501", 4, true,
	},
	{
		"few connections", does("ALTER USER ROLE CONNECTION LIMIT 3"), "connection limit", Warning,
		"may have 3 connections", 0, true,
	},
	{
		"not of the group, seen by the schema", does("REVOKE orders_relay FROM ROLE"), "schema", Wrong,
		"may not use the schema public", 4, true,
	},
	{
		"not of the group, seen by the table", does("REVOKE orders_relay FROM ROLE"), "SELECT on outbox", Wrong,
		"may not read", 4, true,
	},
	{"a migration broke off", does("UPDATE schema_migrations SET dirty = true"), "schema", Wrong, "dirty", 4, false},
	{
		"a column that may be NULL", does("ALTER TABLE outbox ALTER payload DROP NOT NULL, ALTER type DROP NOT NULL"),
		"outbox columns", Warning, "may be NULL: type, payload", 0, true,
	},
	{
		"a column renamed", does("ALTER TABLE outbox RENAME headers TO attributes"), "outbox columns", Wrong,
		`without the column "headers"`, 4, false,
	},
	{"no publication", does("DROP PUBLICATION outbox"), "publication", Wrong, "there is no publication", 4, true},
	{
		"updates are published", does("ALTER PUBLICATION outbox SET (publish = 'insert, update')"), "publication", Wrong,
		"insert, update, want insert", 4, true,
	},
	{
		"another table is published", does("ALTER PUBLICATION outbox ADD TABLE orders"), "publication", Wrong, "the tables [public.orders public.outbox]",
		4, true,
	},
	{
		"no table is published", does("ALTER PUBLICATION outbox DROP TABLE outbox"), "publication", Wrong, "the tables []", 4,
		true,
	},
	{
		"rows are left out", does("ALTER PUBLICATION outbox SET TABLE outbox WHERE (version > 1)"), "publication", Wrong,
		"leaves rows out", 4, true,
	},
	{"a column is left out", does("ALTER PUBLICATION outbox SET TABLE outbox (seq, id, aggregatetype, aggregateid, " +
		"type, version, payload, occurred_at)"), "publication", Wrong, "column headers", 4, true},
	{"all tables are published", does("DROP PUBLICATION outbox; CREATE PUBLICATION outbox FOR ALL TABLES WITH " +
		"(publish = 'insert')"), "publication", Wrong, "for all tables", 4, true},
	{
		"a slot of a standby has the name", does("SELECT pg_create_physical_replication_slot('SLOT')"), "slot", Wrong,
		"a physical slot", 3, false,
	},
	{"a slot of another plugin has the name", does("SELECT pg_create_logical_replication_slot('SLOT', " +
		"'test_decoding')"), "slot", Wrong, "of test_decoding", 3, false},
	{
		"a slot that standbys do not keep up", failoverless, "slot failover", Warning, "not one that standbys keep up", 0,
		true,
	},
	{"a schema that is not there", func(p *patient) {
		p.config.DatabaseURL = strings.Replace(p.config.DatabaseURL,
			"/"+database(p.super), "/"+database(testenv.Empty(p)), 1)
	}, "schema", Wrong, "foodctl migrate", 4, false},
	{
		"no bound of payloads", does("ALTER TABLE outbox DROP CONSTRAINT outbox_payload_size"), "max.message.bytes",
		Warning, "no constraint", 0, true,
	},
}

func failoverless(p *patient) {
	if scalar[int](p, "SELECT current_setting('server_version_num')::int") < 170000 {
		p.Skip("slots of before Postgres 17 have no failover: set PG_VERSION")
	}
	does("SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')")(p)
}

func TestWhatIsWrongWithADatabaseIsFoundAndItsRemedyMendsIt(t *testing.T) {
	t.Parallel()
	for _, i := range ills {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel()
			p := setup(t)
			system := Postgres
			if i.check == "max.message.bytes" { // of both: the table's bound, and the topic's
				system = Kafka
			}
			p.want(p.found(system, i.check), OK, "", 0)
			i.harm(p)
			f := p.found(system, i.check)
			p.want(f, i.verdict, i.words, i.code)
			if i.mends {
				p.mended(f)
			}
		})
	}
}

// A superuser works, so it is a warning. Its remedy is a login of its own, which is made and used here.
func TestASuperuserIsAdvisedAgainst(t *testing.T) {
	t.Parallel()
	p := setup(t)
	own := p.config.DatabaseURL
	p.config.DatabaseURL = p.super
	f := p.found(Postgres, "superuser")
	p.want(f, Warning, "is a superuser", 0)
	if !p.carryOut(f.Remedy[0]) {
		t.Fatalf("got %q first, want a statement", f.Remedy)
	}
	t.Cleanup(func() { p.sql("DROP ROLE relay") })
	p.sql("ALTER ROLE relay PASSWORD 'secret'") // as \password does
	p.config.DatabaseURL = p.as("relay", "secret")
	for _, check := range []string{"superuser", "replication connection", "SELECT on outbox", "schema"} {
		p.want(p.found(Postgres, check), OK, "", 0)
	}
	p.config.DatabaseURL = own
}

func TestAConnectionThatIsNotHadSaysWhy(t *testing.T) {
	t.Parallel()
	p := setup(t)
	right := p.config.DatabaseURL
	p.config.DatabaseURL = p.as(p.role, "another")
	p.want(p.found(Postgres, "connection"), Wrong, "password authentication failed", 4)
	p.config.DatabaseURL = strings.Replace(right, "/"+database(right), "/none", 1)
	p.want(p.found(Postgres, "connection"), Wrong, `database "none" does not exist`, 4)
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	p.config.DatabaseURL = "postgres://relay:secret@127.0.0.1:" + strconv.Itoa(port) + "/orders"
	p.want(p.found(Postgres, "connection"), Unknown, "connect", 1)
	p.want(p.found(Kafka, "max.message.bytes"), Unknown, "could not be asked", 1)
	if r := Examine(t.Context(), p.config); r.ExitCode() != ExitUnknown {
		t.Errorf("got exit code %d, want %d: a relay would go on trying", r.ExitCode(), ExitUnknown)
	}
	for _, f := range Examine(t.Context(), p.config).Findings {
		if strings.Contains(f.Found, "secret") || strings.Contains(strings.Join(f.Remedy, " "), "secret") {
			t.Errorf("the password is in %+v", f)
		}
	}
}

func TestARightToConnectIsGiven(t *testing.T) {
	t.Parallel()
	p := setup(t)
	p.sql("REVOKE CONNECT ON DATABASE " + database(p.super) + " FROM PUBLIC")
	f := p.found(Postgres, "connection")
	p.want(f, Wrong, "permission denied for database", 4)
	for _, step := range f.Remedy {
		p.carryOut(step)
	}
	p.want(p.found(Postgres, "version"), OK, "", 0)
	p.sql("REVOKE CONNECT ON DATABASE " + database(p.super) + " FROM " + p.role) // or the role could not be dropped
}

func TestWhoIsNotInTheHostsFileIsToldWhere(t *testing.T) {
	t.Parallel()
	refused := &pgconn.PgError{Code: "28000", Message: `no pg_hba.conf entry for host "10.0.0.5", user "relay", database "orders", no encryption`}
	if f := unreachable(refused, "relay", ""); f.Verdict != Wrong || !strings.Contains(f.Remedy[0],
		"hostssl all relay") {
		t.Errorf("got %+v", f)
	}
}

func database(conn string) string {
	conn = conn[strings.LastIndex(conn, "/")+1:]
	name, _, _ := strings.Cut(conn, "?")
	return name
}

// TestAPoolerIsRecognised puts something in between that says what PgBouncer does: to every parameter that it does not know,
// or, where it is told to ignore those, to the request for replication alone.
func TestAPoolerIsRecognised(t *testing.T) {
	t.Parallel()
	p := setup(t)
	p.config.DatabaseURL = pooler(t, "statement_timeout")
	p.want(p.found(Postgres, "connection"), Wrong, "a connection pooler answers", 4)
	for _, said := range []string{
		"unsupported startup parameter: replication", "Unsupported startup parameter in options: replication", "RDS Proxy does not support it",
	} {
		f := unreachable(fmt.Errorf("connect: %w", &pgconn.PgError{Severity: "FATAL", Code: "08P01", Message: said}),
			"relay", "")
		if f.Verdict != Wrong || !strings.Contains(f.Remedy[0], "ORDERS_DATABASE_URL") {
			t.Errorf("%s: got %+v", said, f)
		}
	}
	if f := unreachable(errors.New("unsupported startup parameter"), "relay", ""); f.Verdict != Unknown {
		t.Errorf("what no server said: got %+v", f)
	}
}

// pooler listens and refuses every connection for a parameter.
func pooler(t *testing.T, parameter string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-served })
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // else a client that hangs would hang the test
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{
					Severity: "FATAL", Code: "08P01",
					Message: "unsupported startup parameter: " + parameter,
				})
				_ = backend.Flush() // a client that went away is no concern
			}
			_ = conn.Close()
		}
	}()
	return "postgres://relay:secret@" + listener.Addr().String() + "/orders?sslmode=disable"
}

func TestVersionsBefore15AreRefused(t *testing.T) {
	t.Parallel()
	for version, want := range map[int]Verdict{149999: Wrong, 150000: OK, 180003: OK} {
		if f := release(version, "x"); f.Verdict != want {
			t.Errorf("%d: got %+v, want %s", version, f, want)
		}
	}
}

func TestClocksThatAreApartAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ahead, precision time.Duration
		want             Verdict
	}{
		{0, 0, OK},
		{-900 * time.Millisecond, 0, OK},
		{1100 * time.Millisecond, 0, Warning},
		{-1100 * time.Millisecond, 0, Warning},
		{2 * time.Second, 1500 * time.Millisecond, OK}, // the answer took too long to tell
	} {
		if f := apart(c.ahead, c.precision); f.Verdict != c.want {
			t.Errorf("%v give or take %v: got %+v, want %s", c.ahead, c.precision, f, c.want)
		}
	}
}

func TestWhoeverTakesTooLongIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	p := setup(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	r := Examine(ctx, p.config)
	if r.ExitCode() != ExitUnknown {
		t.Errorf("got exit code %d, want %d: %+v", r.ExitCode(), ExitUnknown, r.Findings)
	}
}
