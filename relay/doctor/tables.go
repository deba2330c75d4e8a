package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// group is the role that the migrations give what a relay needs.
const group = "orders_relay"

func (s *source) grant() string { return fmt.Sprintf("GRANT %s TO %s;", group, quote(s.role)) }

func (s *source) schema(ctx context.Context) Finding {
	err := sql.Check(ctx, s.conn, sql.Orders)
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ok("version %d or later", sql.Orders.Newest)
	case errors.As(err, &pg) && pg.Code == "42501":
		return unusable(err.Error(), s.grant())
	case !errors.Is(err, sql.ErrSchema):
		return unknown(err)
	}
	var hidden bool // what a schema holds cannot be seen without USAGE, and looks as if it were not there
	if ask := s.conn.QueryRow(ctx, "SELECT NOT has_schema_privilege('public', 'USAGE')").Scan(&hidden); ask == nil && hidden {
		return unusable(s.role+" may not use the schema public", s.grant())
	}
	return unusable(err.Error(), "foodctl migrate --orders-url URL")
}

// The table is looked up in the catalogue: by its name, whoever has no right to it would not find it.
const selectTable = `
SELECT c.oid, has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND n.nspname = 'public'`

var noTable = unusable("there is no table outbox", "foodctl migrate --orders-url URL")

func (s *source) mayRead(ctx context.Context) Finding {
	var oid uint32
	var may bool
	err := s.conn.QueryRow(ctx, selectTable, outbox.Table).Scan(&oid, &may)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return noTable
	case err != nil:
		return unknown(err)
	case !may:
		return unusable(s.role+" may not read the table outbox, for the gates and recover", s.grant())
	}
	return ok("granted to %s", s.role)
}

const selectPause = `
SELECT reason
FROM relay_pauses
WHERE slot = $1`

func (s *source) pause(ctx context.Context) Finding {
	var reason string
	err := s.conn.QueryRow(ctx, selectPause, s.Slot).Scan(&reason)
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ok("not paused")
	case errors.As(err, &pg) && pg.Code == "42501":
		return unusable(s.role+" may not read the table relay_pauses", s.grant())
	case err != nil:
		return unknown(err)
	}
	return warning("paused: "+reason+"; nothing is published", "relay resume")
}

const selectColumns = `
SELECT a.attname::text, a.attnotnull
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND n.nspname = 'public' AND a.attnum > 0 AND NOT a.attisdropped`

// needed are the columns that the relay decodes.
var needed = []string{
	outbox.ColumnSeq, outbox.ColumnID, outbox.ColumnAggregateType, outbox.ColumnAggregateID, outbox.ColumnType,
	outbox.ColumnVersion, outbox.ColumnPayload, outbox.ColumnHeaders, outbox.ColumnOccurredAt,
}

func (s *source) columns(ctx context.Context) Finding {
	rows, err := s.conn.Query(ctx, selectColumns, outbox.Table)
	if err != nil {
		return unknown(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Name    string
		NotNull bool
	}])
	if err != nil {
		return unknown(err)
	}
	if len(columns) == 0 {
		return noTable
	}
	notNull := make(map[string]bool)
	for _, c := range columns {
		notNull[c.Name] = c.NotNull
	}
	var missing, nullable, remedy []string
	for _, name := range needed {
		set, there := notNull[name]
		switch {
		case !there:
			missing = append(missing, name)
		case !set && name != outbox.ColumnHeaders:
			nullable = append(nullable, name)
			remedy = append(remedy, fmt.Sprintf("ALTER TABLE public.outbox ALTER COLUMN %s SET NOT NULL;", quote(name)))
		}
	}
	switch {
	case len(missing) > 0:
		return unusable("missing: "+strings.Join(missing, ", "),
			"foodctl migrate --orders-url URL, or give the column its name again")
	case len(nullable) > 0:
		return warning("may be NULL: "+strings.Join(nullable, ", ")+"; the relay halts at a row where one is",
			remedy...)
	}
	return ok("all there, NOT NULL where they must be")
}

const selectPublication = `
SELECT p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid),
       concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
                 CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END),
       coalesce((SELECT array_agg(c.relname::text)
                 FROM pg_publication_rel r
                 JOIN pg_class c ON c.oid = r.prrelid
                 WHERE r.prpubid = p.oid), '{}'),
       coalesce((SELECT string_agg(t.rowfilter, ', ') FROM pg_publication_tables t WHERE t.pubname = p.pubname), ''),
       coalesce((SELECT t.attnames::text[]
                 FROM pg_publication_tables t
                 WHERE t.pubname = p.pubname AND t.tablename = $2), '{}')
FROM pg_publication p
WHERE p.pubname = $1`

const (
	makePublication  = "CREATE PUBLICATION outbox FOR TABLE public.outbox WITH (publish = 'insert');"
	dropPublication  = "DROP PUBLICATION outbox;"
	narrowToTable    = "ALTER PUBLICATION outbox SET TABLE public.outbox;"
	narrowToInserts  = "ALTER PUBLICATION outbox SET (publish = 'insert');"
	recoverAfterThis = "relay recover --reason '...', if a relay has published from here: what was written meanwhile " +
		"may be missing (gate publication)"
)

func (s *source) publication(ctx context.Context) Finding {
	var wide bool
	var publishes, filter string
	var tables, attributes []string
	err := s.conn.QueryRow(ctx, selectPublication, outbox.Publication, outbox.Table).Scan(&wide, &publishes, &tables,
		&filter, &attributes)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return unusable("there is no publication outbox", makePublication, recoverAfterThis)
	case err != nil:
		return unknown(err)
	case wide:
		return unusable("it is for all tables, or all of a schema", dropPublication, makePublication, recoverAfterThis)
	case publishes != "insert":
		return unusable("it publishes "+publishes+", want insert alone: pruning must not reach the stream",
			narrowToInserts)
	case !slices.Equal(tables, []string{outbox.Table}):
		return unusable(fmt.Sprintf("it holds %d tables %v, want outbox alone", len(tables), tables), narrowToTable)
	case filter != "":
		return unusable("it leaves rows out: "+filter, narrowToTable, recoverAfterThis)
	}
	for _, name := range needed {
		if !slices.Contains(attributes, name) {
			return unusable("it leaves the column "+name+" out", narrowToTable)
		}
	}
	fingerprint, err := wal.Fingerprint(ctx, s.conn) // what a relay asks
	if errors.Is(err, wal.ErrPublication) {
		return unusable(err.Error(), dropPublication, makePublication, recoverAfterThis)
	}
	if err != nil {
		return unknown(err)
	}
	return ok("inserts of outbox, all rows and columns; fingerprint %s", fingerprint)
}

const selectBound = `
SELECT coalesce(min(pg_get_constraintdef(k.oid)), '')
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relname = $1 AND k.conname = 'outbox_payload_size'`

var bound = regexp.MustCompile(`<= (\d+)`)

// payloadBound is the table's own limit, by its constraint.
func (s *source) payloadBound(ctx context.Context) int {
	var definition string
	if err := s.conn.QueryRow(ctx, selectBound, outbox.Table).Scan(&definition); err != nil {
		return notAsked
	}
	if m := bound.FindStringSubmatch(definition); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits
		return n
	}
	return 0
}
