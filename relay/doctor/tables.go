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
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// group is the role that the migrations give what a relay needs.
const group = "orders_relay"

func (s *source) grant() string { return fmt.Sprintf("GRANT %s TO %s;", group, quote(s.role)) }

func (s *source) schema(ctx context.Context) Finding {
	if !s.Layout.Own {
		return ok("no migrations are needed: the outbox is described by a file")
	}
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

// Tables are looked up in the catalogue: by its name, whoever has no right to one would not find it.
const selectTable = `
SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'DELETE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2`

// noTable is what is found of a table that is not there.
func (s *source) noTable(t layout.Table) Finding {
	if s.Layout.Own {
		return unusable("there is no table "+t.Name, "foodctl migrate --orders-url URL")
	}
	return unusable(fmt.Sprintf("there is no table %s", t), "correct table.include.list, or make the table")
}

func (s *source) mayRead(ctx context.Context) Finding {
	for _, t := range s.Layout.Tables {
		var may, mayDelete bool
		err := s.conn.QueryRow(ctx, selectTable, t.Schema, t.Name).Scan(&may, &mayDelete)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return s.noTable(t)
		case err != nil:
			return unknown(err)
		case !may && s.Layout.Own:
			return unusable(fmt.Sprintf("%s may not read the table %s, for the gates and recover", s.role, t.Name), s.grant())
		case !may:
			return unusable(fmt.Sprintf("%s may not read the table %s, for a first start and recover", s.role, t),
				fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", quote(t.Schema), quote(s.role)),
				fmt.Sprintf("GRANT SELECT ON %s TO %s;", t.Quoted(), quote(s.role)))
		case !mayDelete && s.Layout.PruneAfter > 0:
			return warning(fmt.Sprintf("%s may not delete old rows of %s, as relay.prune.after says", s.role, t),
				fmt.Sprintf("GRANT DELETE ON %s TO %s;", t.Quoted(), quote(s.role)))
		}
	}
	return ok("granted to %s", s.role)
}

const selectPause = `
SELECT reason
FROM relay_pauses
WHERE slot = $1`

func (s *source) pause(ctx context.Context) Finding {
	var reason string
	if !s.Layout.Own {
		var exist bool
		if err := s.conn.QueryRow(ctx, "SELECT to_regclass('relay_pauses') IS NOT NULL").Scan(&exist); err != nil {
			return unknown(err)
		}
		if !exist {
			return ok("not paused: there is no table for it")
		}
	}
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

func (s *source) columns(ctx context.Context) Finding {
	var nullable, remedy []string
	for _, t := range s.Layout.Tables {
		columns, err := layout.Inspect(ctx, s.conn, t)
		if err != nil {
			return unknown(err)
		}
		if len(columns) == 0 {
			return s.noTable(t)
		}
		if err := s.Layout.Fits(t, columns); err != nil {
			return unusable(err.Error(), s.giveColumns())
		}
		for _, c := range columns {
			if !c.NotNull && slices.Contains(s.Layout.NotNull(), c.Name) {
				nullable = append(nullable, c.Name)
				remedy = append(remedy, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL;", t.Quoted(), quote(c.Name)))
			}
		}
	}
	if len(nullable) > 0 {
		return warning("may be NULL: "+strings.Join(nullable, ", ")+"; the relay halts at a row where one is", remedy...)
	}
	return ok("all there, NOT NULL where they must be")
}

func (s *source) giveColumns() string {
	if s.Layout.Own {
		return "foodctl migrate --orders-url URL, or give the column its name again"
	}
	return "name the columns in the file (table.field.event.*, route.by.field, table.fields.additional.placement), or change the table"
}

const selectPublication = `
SELECT p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid),
       concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
                 CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END),
       coalesce((SELECT array_agg(concat_ws('.', n.nspname, c.relname) ORDER BY n.nspname, c.relname)
                 FROM pg_publication_rel r
                 JOIN pg_class c ON c.oid = r.prrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE r.prpubid = p.oid), '{}'),
       coalesce((SELECT string_agg(t.rowfilter, ', ') FROM pg_publication_tables t WHERE t.pubname = p.pubname), ''),
       coalesce((SELECT array_agg(w.name)
                 FROM unnest($2::text[]) AS w (name)
                 WHERE EXISTS (SELECT FROM pg_publication_tables t
                               WHERE t.pubname = p.pubname AND NOT w.name = ANY (t.attnames))), '{}')
FROM pg_publication p
WHERE p.pubname = $1`

const recoverAfterThis = "relay recover --reason '...', if a relay has published from here: what was written meanwhile " +
	"may be missing (gate publication)"

func (s *source) publication(ctx context.Context) Finding {
	var quoted []string
	for _, t := range s.Layout.Tables {
		quoted = append(quoted, t.Quoted())
	}
	name, all := quote(s.Layout.Publication), strings.Join(quoted, ", ")
	create := fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish = 'insert');", name, all)
	drop := fmt.Sprintf("DROP PUBLICATION %s;", name)
	narrow := fmt.Sprintf("ALTER PUBLICATION %s SET TABLE %s;", name, all)

	var wide bool
	var publishes, filter string
	var tables, hidden []string
	err := s.conn.QueryRow(ctx, selectPublication, s.Layout.Publication, s.Layout.Columns()).Scan(&wide, &publishes, &tables,
		&filter, &hidden)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return unusable("there is no publication "+s.Layout.Publication, create, recoverAfterThis)
	case err != nil:
		return unknown(err)
	case wide:
		return unusable("it is for all tables, or all of a schema", drop, create, recoverAfterThis)
	case publishes != "insert":
		return unusable("it publishes "+publishes+", want insert alone: pruning must not reach the stream",
			fmt.Sprintf("ALTER PUBLICATION %s SET (publish = 'insert');", name), recoverAfterThis)
	case !slices.Equal(tables, s.Layout.Names()):
		return unusable(fmt.Sprintf("it holds the tables %v, want %v alone", tables, s.Layout.Names()), narrow, recoverAfterThis)
	case filter != "":
		return unusable("it leaves rows out: "+filter, narrow, recoverAfterThis)
	case len(hidden) > 0:
		return unusable("it leaves the column "+strings.Join(hidden, ", ")+" out", narrow, recoverAfterThis)
	}
	fingerprint, _, err := wal.Fingerprint(ctx, s.conn, s.Layout) // what a relay asks
	if errors.Is(err, wal.ErrPublication) {
		return unusable(err.Error(), drop, create, recoverAfterThis)
	}
	if err != nil {
		return unknown(err)
	}
	return ok("inserts of %s, all rows and columns; fingerprint %s", strings.Join(tables, ", "), fingerprint)
}

const selectBound = `
SELECT coalesce(min(pg_get_constraintdef(k.oid)), '')
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relname = $1 AND k.conname = 'outbox_payload_size'`

var bound = regexp.MustCompile(`<= (\d+)`)

// payloadBound is the table's own limit, by its constraint.
func (s *source) payloadBound(ctx context.Context) int {
	if !s.Layout.Own {
		return 0
	}
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
