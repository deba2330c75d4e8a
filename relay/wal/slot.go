package wal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// Slot is what the server says about a replication slot.
type Slot struct {
	Active    bool
	Sender    uint32     // the server process that sends to whoever holds it; 0 for none
	Ours      bool       // it is one of pgoutput, in this database
	Usable    bool       // it is ours, and its log is still there
	Confirmed outbox.LSN // up to where it was acknowledged
	Lag       int64      // bytes of log written since Confirmed
	Retained  int64      // bytes of log that it holds back
	Safe      *int64     // bytes that may yet be written before it is in danger of being lost; nil for no limit
	Status    string     // pg_replication_slots.wal_status
	Flushed   outbox.LSN // the end of the server's log on disk
}

const inspectSlot = `
SELECT active,
       coalesce(active_pid, 0),
       coalesce(plugin = 'pgoutput' AND database = current_database(), false),
       coalesce(plugin = 'pgoutput' AND database = current_database() AND wal_status <> 'lost', false),
       coalesce(confirmed_flush_lsn - '0/0', 0)::bigint,
       coalesce(pg_current_wal_lsn() - confirmed_flush_lsn, 0)::bigint,
       coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint,
       safe_wal_size,
       coalesce(wal_status, 'lost'),
       (pg_current_wal_flush_lsn() - '0/0')::bigint
FROM pg_replication_slots
WHERE slot_name = $1`

// Inspect looks at a slot. It returns ErrNoSlot, wrapped, when there is none.
func Inspect(ctx context.Context, conn *pgx.Conn, name string) (Slot, error) {
	var s Slot
	err := conn.QueryRow(ctx, inspectSlot, name).
		Scan(&s.Active, &s.Sender, &s.Ours, &s.Usable, &s.Confirmed, &s.Lag, &s.Retained, &s.Safe, &s.Status, &s.Flushed)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoSlot
	}
	if err != nil {
		return Slot{}, fmt.Errorf("inspect slot %s: %w", name, err)
	}
	return s, nil
}

const inspectPublication = `
SELECT p.pubinsert AND NOT (p.pubupdate OR p.pubdelete OR p.pubtruncate OR p.puballtables)
         AND array_agg(concat_ws('.', n.nspname, c.relname) ORDER BY n.nspname, c.relname) = $2 AND bool_and(r.prqual IS NULL)
         AND NOT EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid),
       concat_ws('|', p.oid, p.xmin, p.pubviaroot, string_agg(concat_ws(' ', r.oid, r.xmin, r.prrelid, r.prattrs), ',' ORDER BY r.prrelid)),
       concat_ws('|', p.oid, p.pubviaroot, string_agg(concat_ws(' ', r.prrelid, r.prattrs), ',' ORDER BY r.prrelid))
FROM pg_publication p
LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
LEFT JOIN pg_class c ON c.oid = r.prrelid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = $1
GROUP BY p.oid, p.xmin, p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.puballtables`

// ErrPublication means that the publication is not one that the relay can trust to be complete.
var ErrPublication = errors.New("the publication must exist, hold the outbox tables and nothing else, publish inserts only and filter no rows")

// Fingerprint identifies what the layout's publication lets through: which tables, which columns, no filter. A publication that was
// changed has another fingerprint, also when the change was undone, because rows written in between were published to nobody: it holds
// the transactions that the catalog's rows are of.
//
// former is the fingerprint as the first relays made it, to know theirs by.
func Fingerprint(ctx context.Context, conn *pgx.Conn, l *layout.Layout) (now, former string, err error) {
	var (
		sound          bool
		parts, formers string
	)
	err = conn.QueryRow(ctx, inspectPublication, l.Publication, l.Names()).Scan(&sound, &parts, &formers)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !sound {
		err = ErrPublication
	}
	if err != nil {
		return "", "", fmt.Errorf("publication %s: %w", l.Publication, err)
	}
	return digest(parts), digest(formers), nil
}

const publicationLocked = `
SELECT EXISTS (SELECT FROM pg_locks WHERE granted AND locktype = 'object' AND classid = 'pg_publication'::regclass
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// Changing says whether a transaction has dropped, renamed or altered a publication of this database and holds its lock yet.
// A commit lets go of it only when others see what it did, but its log may be sent before: right away, or, with synchronous
// replication, for as long as a standby does not answer.
func Changing(ctx context.Context, conn *pgx.Conn) (changing bool, err error) {
	if err := conn.QueryRow(ctx, publicationLocked).Scan(&changing); err != nil {
		return false, fmt.Errorf("locks of publications: %w", err)
	}
	return changing, nil
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
