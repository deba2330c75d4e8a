package wal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Connect opens a replication connection to the database of the URL. Its session prints times in UTC and ISO style, and
// the server gives it up after senderTimeout of silence.
func Connect(ctx context.Context, url string) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"replication":        "database",
		"application_name":   "relay",
		"client_encoding":    "UTF8",
		"datestyle":          "ISO",
		"timezone":           "UTC",
		"bytea_output":       "hex",
		"wal_sender_timeout": strconv.FormatInt(senderTimeout.Milliseconds(), 10),
		"tcp_user_timeout":   "0", // it also counts a window that stays full, as it does while Kafka is away; the line above sees the dead
		"statement_timeout":  "0", // making a slot waits for transactions older than it, however long they take
	} {
		config.RuntimeParams[name] = value
	}
	config.DialFunc = ops.Dialer(senderTimeout).DialContext // it is the relay that speaks; keepalives alone would never be sent
	return pgconn.ConnectConfig(ctx, config)
}

// Identity says which history a server has.
type Identity struct {
	SystemID string     // of the cluster, kept by a copy of its files
	Timeline int32      // changed by a promotion and by a point-in-time recovery, not by a copy
	Flushed  outbox.LSN // how far its log is on disk
}

// Identify asks the server who it is, on a replication connection.
func Identify(ctx context.Context, conn *pgconn.PgConn) (Identity, error) {
	r, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return Identity{}, fmt.Errorf("identify system: %w", err)
	}
	return Identity{SystemID: r.SystemID, Timeline: r.Timeline, Flushed: outbox.LSN(r.XLogPos)}, nil
}

// SwitchPoint returns where the server's history left a timeline: the LSN up to which the two agree. It returns false if
// the timeline is not an ancestor of the server's current one.
func SwitchPoint(ctx context.Context, conn *pgconn.PgConn, current, ancestor int32) (outbox.LSN, bool, error) {
	if ancestor >= current { // numbers only grow, and the first timeline has no history to ask for
		return 0, false, nil
	}
	history, err := pglogrepl.TimelineHistory(ctx, conn, current)
	if err != nil {
		return 0, false, fmt.Errorf("history of timeline %d: %w", current, err)
	}
	return switchPoint(string(history.Content), ancestor)
}

// switchPoint searches a timeline history file: lines of a timeline's number, its switch point and a reason.
func switchPoint(history string, ancestor int32) (outbox.LSN, bool, error) {
	for line := range strings.Lines(history) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != strconv.Itoa(int(ancestor)) {
			continue
		}
		lsn, err := outbox.ParseLSN(fields[1])
		return lsn, err == nil, err
	}
	return 0, false, nil
}

// CreateSlot makes the slot and exports its snapshot. The snapshot holds what committed before the consistent point, the
// slot delivers what commits after it: together they are everything, and nothing is in both. It can be imported until
// the connection is used again.
//
// Postgres waits here for every transaction that was running when the slot was asked for.
//
// From version 17 on the slot is one that standbys keep up (where sync_replication_slots has them do so) and that shows
// nothing which the server's synchronized_standby_slots have not got: a promoted one goes on with it, and has all that was
// published. Without standbys that changes nothing.
func CreateSlot(ctx context.Context, conn *pgconn.PgConn, slot string) (consistent outbox.LSN, snapshot string, err error) {
	r, err := pglogrepl.CreateReplicationSlot(ctx, conn, quoteIdentifier(slot), "pgoutput", pglogrepl.CreateReplicationSlotOptions{
		Mode:           pglogrepl.LogicalReplication,
		SnapshotAction: slotOptions(conn.ParameterStatus("server_version")),
	})
	if err != nil {
		return 0, "", fmt.Errorf("create slot %s: %w", slot, slotError(err))
	}
	consistent, err = outbox.ParseLSN(r.ConsistentPoint)
	return consistent, r.SnapshotName, err
}

// slotOptions is the end of CREATE_REPLICATION_SLOT, for a server's version.
func slotOptions(version string) string {
	digits := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if major, err := strconv.Atoi(version[:max(digits, 0)]); err == nil && major >= 17 {
		return "(SNAPSHOT 'export', FAILOVER)"
	}
	return "EXPORT_SNAPSHOT"
}

// DropSlot removes the slot. One that does not exist is no error. One that is in use is waited for, a little longer than
// Postgres takes to notice that a stream is gone; if it is still in use then, another relay has it.
func DropSlot(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, senderTimeout+time.Second, ErrSlotActive)
	defer cancel()
	err := slotError(pglogrepl.DropReplicationSlot(ctx, conn, quoteIdentifier(slot), pglogrepl.DropReplicationSlotOptions{Wait: true}))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, ErrNoSlot) {
		return fmt.Errorf("drop slot %s: %w", slot, err)
	}
	return nil
}

// slotError translates what Postgres says about a slot.
func slotError(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "55006", "42710": // object_in_use; duplicate_object: another relay was quicker to make it
		return fmt.Errorf("%w (%s)", ErrSlotActive, pg.Message)
	case "55000": // object_not_in_prerequisite_state: the slot's log is gone, or it belongs to another database
		return fmt.Errorf("%w (%s)", ErrSlotUnusable, pg.Message)
	case "42704": // undefined_object
		return fmt.Errorf("%w (%s)", ErrNoSlot, pg.Message)
	}
	return err
}

// publicationError translates what Postgres says in the middle of a stream.
func publicationError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42704" { // undefined_object
		return fmt.Errorf("%w (%s)", ErrPublicationAway, pg.Message)
	}
	return err
}

func serverError(body []byte) error {
	var m pgproto3.ErrorResponse
	if err := m.Decode(body); err != nil {
		return fmt.Errorf("error response: %w", err)
	}
	return pgconn.ErrorResponseToPgError(&m)
}

func quoteIdentifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func quoteLiteral(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
