package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// source is the server of the orders database and what was asked of it once.
type source struct {
	Config

	conn     *pgx.Conn
	role     string
	super    bool
	limit    int // the role's connections; -1 for no limit
	version  int // as server_version_num
	release  string
	settings map[string]setting
	timeout  string // wal_sender_timeout of a replication connection; empty for not asked

	began    time.Time
	position outbox.LSN // of the log, when it began
}

// setting is a row of pg_settings.
type setting struct {
	value  string // in the setting's base unit
	pretty string
	source string // where the value comes from
}

const oldest = 150000 // server_version_num

var postgresChecks = []check[*source]{
	{"version", func(s *source, _ context.Context) Finding { return release(s.version, s.release) }},
	{"wal_level", (*source).walLevel},
	{"max_replication_slots", (*source).slots},
	{"max_wal_senders", (*source).senders},
	{"connection limit", (*source).connections},
	{"replication connection", (*source).replication},
	{"wal_sender_timeout", (*source).senderTimeout},
	{"superuser", (*source).superuser},
	{"schema", (*source).schema},
	{"SELECT on outbox", (*source).mayRead},
	{"relay pause", (*source).pause},
	{"outbox columns", (*source).columns},
	{"publication", (*source).publication},
	{"replica identity", func(*source, context.Context) Finding {
		return ok("not needed: the publication is of inserts, which carry the whole row")
	}},
	{"slot", (*source).slot},
	{"slot failover", (*source).failover},
	{"standbys", (*source).standbys},
	{"max_slot_wal_keep_size", (*source).keepSize},
	{"retained WAL", (*source).retained},
	{"idle_replication_slot_timeout", (*source).idleTimeout},
	{"logical_decoding_work_mem", (*source).workMem},
	{"durability", (*source).durability},
	{"clock", (*source).clock},
}

// notAsked is the bound of payloads that nobody could be asked for.
const notAsked = -1

// examinePostgres returns the bound of a payload that the table has, in bytes; 0 for none.
func examinePostgres(ctx context.Context, c Config, checks []check[*source], r *Report) (bound int) {
	s, failed := open(ctx, c)
	if failed != nil {
		failed.System, failed.Check = Postgres, "connection"
		r.Findings = append(r.Findings, *failed)
		return notAsked
	}
	defer func() { _ = s.conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	if s.version < oldest {
		checks = checks[:1] // the others ask catalogues of newer versions
	}
	ask(ctx, r, Postgres, s, checks)
	return s.payloadBound(ctx)
}

const selectFacts = `
SELECT current_user::text, r.rolsuper, r.rolconnlimit, current_setting('server_version_num')::int,
       current_setting('server_version'), pg_is_in_recovery()
FROM pg_roles r
WHERE r.rolname = current_user`

const selectSettings = `
SELECT name, setting, current_setting(name), source
FROM pg_settings`

// open connects as a relay does, and returns why that is not possible, or why nothing else can be asked.
func open(ctx context.Context, c Config) (*source, *Finding) {
	config, err := pgx.ParseConfig(c.DatabaseURL)
	if err != nil {
		f := unknown(errors.New("the database URL cannot be understood"),
			"ORDERS_DATABASE_URL=postgres://USER@HOST:PORT/DATABASE")
		return nil, &f
	}
	config.ConnectTimeout = 5 * time.Second
	config.DialFunc = ops.Dialer(10 * time.Second).DialContext
	config.RuntimeParams["application_name"] = "relay-doctor"
	config.RuntimeParams["statement_timeout"] = "10000"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		f := unreachable(err, config.User, fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s;", quote(config.Database),
			quote(config.User)))
		return nil, &f
	}
	s := &source{Config: c, conn: conn}
	standby, err := s.load(ctx)
	if err == nil && !standby {
		return s, nil
	}
	_ = conn.Close(context.WithoutCancel(ctx)) // nothing was written
	f := unusable("the server is a standby: it has no slot of its own to stream from, and takes none",
		"ORDERS_DATABASE_URL must lead to the primary: name all hosts and add ?target_session_attrs=read-write")
	if err != nil {
		f = unknown(err)
	}
	return nil, &f
}

func (s *source) load(ctx context.Context) (standby bool, err error) {
	err = s.conn.QueryRow(ctx, selectFacts).Scan(&s.role, &s.super, &s.limit, &s.version, &s.release, &standby)
	if err != nil || standby {
		return standby, err
	}
	rows, err := s.conn.Query(ctx, selectSettings)
	if err != nil {
		return false, err
	}
	s.settings = make(map[string]setting)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Value, Pretty, Source string }])
	if err != nil {
		return false, err
	}
	for _, row := range all {
		s.settings[row.Name] = setting{row.Value, row.Pretty, row.Source}
	}
	s.began = time.Now()
	s.position, err = s.written(ctx)
	return false, err
}

// unreachable says why a connection could not be made; grant is what lets it be made if a right is missing.
func unreachable(err error, role, grant string) Finding {
	if pooled(err) {
		return unusable("a connection pooler answers: "+err.Error(),
			"ORDERS_DATABASE_URL must lead to Postgres itself: poolers do not pass replication on")
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return unknown(err, "start Postgres, or correct ORDERS_DATABASE_URL")
	}
	switch {
	case strings.Contains(pg.Message, "pg_hba.conf"):
		return unusable(err.Error(), "a line in pg_hba.conf: hostssl all "+role+" ADDRESS scram-sha-256",
			"SELECT pg_reload_conf();")
	case pg.Code == "28000" || pg.Code == "28P01": // the role, or its password
		return unusable(err.Error(), "DATABASE_PASSWORD_FILE must hold the password of "+role+"; else give it one: "+
			"\\password "+role)
	case pg.Code == "3D000": // the database
		return unusable(err.Error(), "foodctl migrate --create --orders-url URL")
	case pg.Code == "42501": // a right
		return unusable(err.Error(), grant)
	case pg.Code == "53300": // connections
		return unusable(err.Error(), "end sessions that nobody needs, or raise max_connections and max_wal_senders "+
			"and restart Postgres")
	}
	return unknown(err, "start Postgres, or correct ORDERS_DATABASE_URL")
}

// pooled recognises what poolers say to a parameter of the connection that they do not know, the one that asks for
// replication above all: PgBouncer, Odyssey, PgCat and the proxies of clouds.
func pooled(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	said := strings.ToLower(pg.Message)
	for _, mark := range []string{
		"unsupported startup parameter", "unsupported protocol version",
		"replication connections are not supported",
		"replication is not supported", "pgbouncer", "odyssey", "pgcat", "rds proxy",
	} {
		if strings.Contains(said, mark) {
			return true
		}
	}
	return false
}

func release(version int, name string) Finding {
	if version < oldest {
		return unusable("Postgres "+name+": a publication cannot say there what it leaves out",
			"upgrade Postgres to 15 or later (pg_upgrade)")
	}
	return ok("Postgres %s", name)
}

// replication opens the kind of connection that the stream comes over, and asks only who the server is.
func (s *source) replication(ctx context.Context) Finding {
	grant := fmt.Sprintf("ALTER ROLE %s REPLICATION;", quote(s.role))
	conn, err := wal.Connect(ctx, s.DatabaseURL)
	if err != nil {
		return unreachable(err, s.role, grant)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	identity, err := wal.Identify(ctx, conn)
	if err != nil {
		return unreachable(err, s.role, grant)
	}
	got, err := conn.Exec(ctx, "SHOW wal_sender_timeout").ReadAll()
	if err == nil && len(got) == 1 && len(got[0].Rows) == 1 {
		s.timeout = string(got[0].Rows[0][0])
	}
	return ok("%s may replicate and make a slot; system %s, timeline %d", s.role, identity.SystemID, identity.Timeline)
}

// senderTimeout is the one that the relay gives its session: the server's own, of a minute, would keep a standby waiting that
// long for the slot of a relay that died.
func (s *source) senderTimeout(ctx context.Context) Finding {
	const name = "wal_sender_timeout"
	if s.timeout == "" {
		if f := s.replication(ctx); f.Verdict != OK || s.timeout == "" {
			return unknown(errors.New("there is no replication connection to ask"), "mend that first")
		}
	}
	return ok("%s for the relay's session, %s for others", s.timeout, s.settings[name].pretty)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
