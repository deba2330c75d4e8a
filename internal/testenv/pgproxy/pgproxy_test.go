package pgproxy_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// bench is a table with one row, a client by way of the proxy and one without.
type bench struct {
	*testing.T

	proxy       *pgproxy.Proxy
	url         string
	far, direct *pgx.Conn
}

func setup(t *testing.T, settings ...pgproxy.Setting) *bench {
	t.Helper()
	database := testenv.Empty(t)
	b := &bench{T: t, direct: connect(t, database)}
	b.proxy, b.url = pgproxy.Start(t, database, settings...)
	b.far = connect(t, b.url)
	if _, err := b.direct.Exec(t.Context(), `CREATE TABLE kept (n integer); INSERT INTO kept VALUES (0)`); err != nil {
		t.Fatal(err)
	}
	return b
}

// add adds one in a transaction that is one request.
func (b *bench) add(conn *pgx.Conn) error {
	batch := &pgx.Batch{}
	for _, sql := range []string{"BEGIN", "UPDATE kept SET n = n + 1", "COMMIT"} {
		batch.Queue(sql)
	}
	return conn.SendBatch(b.Context(), batch).Close()
}

func (b *bench) number(query string, args ...any) (n int) {
	b.Helper()
	if err := b.direct.QueryRow(b.Context(), query, args...).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *bench) await(done <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		b.Fatal("it did not happen")
	}
}

func transactions(x *pgproxy.Exchange) bool { return x.Ends("COMMIT") && x.Has("UPDATE kept") }

func TestAnExchangeIsHeldWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	const open = `SELECT count(*) FROM pg_locks WHERE pid = $1 AND relation = 'kept'::regclass`
	for name, tt := range map[string]struct {
		at           pgproxy.Point
		locked, seen int // while it is held
		tags         []string
	}{
		"request": {pgproxy.Request, 0, 0, nil},
		"commit":  {pgproxy.Commit, 1, 0, []string{"BEGIN", "UPDATE 1"}},
		"answer":  {pgproxy.Answer, 0, 1, []string{"BEGIN", "UPDATE 1", "COMMIT"}},
	} {
		for _, cut := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				h := b.proxy.Hold(tt.at, transactions)
				added := make(chan error, 1)
				go func() { added <- b.add(b.far) }()
				b.await(h.Reached())
				if got := h.Exchange().Tags; !slices.Equal(got, tt.tags) {
					t.Errorf("the server has answered %q, want %q", got, tt.tags)
				}
				if locked, seen := b.number(open, h.PID()), b.number(`SELECT n FROM kept`); locked != tt.locked || seen != tt.seen {
					t.Errorf("%d locks and %d seen, want %d and %d", locked, seen, tt.locked, tt.seen)
				}
				want := 1
				if cut {
					h.Cut()
					want = tt.seen
				}
				h.Release() // too late after Cut
				if err := <-added; (err != nil) != cut {
					t.Errorf("the client got %v, cut is %v", err, cut)
				}
				for b.number(open, h.PID()) > 0 { // the server learns of the cut in its own time
				}
				if seen := b.number(`SELECT n FROM kept`); seen != want {
					t.Errorf("%d seen in the end, want %d", seen, want)
				}
			})
		}
	}
}

func TestWhatAClientHasSentArrivesWithoutIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.proxy.Hold(pgproxy.Request, transactions)
	h.CutClient()
	if err := b.add(b.far); err == nil {
		t.Error("the client was not cut off")
	}
	b.await(h.Reached())
	if _, err := b.direct.Exec(t.Context(), `BEGIN; LOCK kept IN EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	h.Release()
	for b.number(`SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted`, h.PID()) == 0 { // it is on its way there
	}
	// pgx asks so by itself when it is cut off, sooner or later.
	if err := b.far.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.direct.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	b.await(h.Done())
	if n := b.number(`SELECT n FROM kept`); n != 1 {
		t.Errorf("%d arrived, want 1", n)
	}
}

func TestASettingIsTheProxys(t *testing.T) {
	t.Parallel()
	b := setup(t, pgproxy.Setting{Name: "application_name", Value: "another"})
	for params, want := range map[string]string{"&application_name=this": "another", "": ""} {
		var got string
		if err := connect(t, b.url+params).QueryRow(t.Context(), `SHOW application_name`).Scan(&got); err != nil || got != want {
			t.Errorf("with %q: got %q, %v, want %q", params, got, err, want)
		}
	}
}

func TestAMuteProxySaysNothingOfTheServersEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Mute(true)
	b.number(`SELECT count(pg_terminate_backend($1, 10000))`, b.far.PgConn().PID())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := b.far.Ping(ctx); ctx.Err() == nil {
		t.Errorf("got %v, want silence", err)
	}
}

func TestAProxyThatRefusesLetsNobodyIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proxy.Refuse(true)
	if conn, err := pgx.Connect(t.Context(), b.url); err == nil {
		t.Errorf("connected: %v", conn.Close(t.Context()))
	}
	b.proxy.Refuse(false)
	connect(t, b.url)
	if err := b.far.Ping(t.Context()); err != nil {
		t.Errorf("a connection that was there: %v", err)
	}
}
