package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

const (
	pruneEvery = time.Minute
	// pruneWithin bounds the wait for the checkpoint. Where nothing is published it follows the log every ten seconds, see due.
	pruneWithin = 30 * time.Second
	prunePoll   = 50 * time.Millisecond
	pruneRows   = 10_000 // of a transaction at most: it holds locks, and back the database's horizon
)

// errBehind means that the checkpoint has not come to where the log was.
var errBehind = errors.New("what the outbox holds is not published yet")

// prune deletes old rows of another outbox, while this relay publishes, if its layout says so. A failure is no reason to publish
// no more: it is told, and tried again.
func (s *session) prune(ctx context.Context) {
	if s.layout.PruneAfter == 0 {
		return
	}
	for {
		for _, table := range s.layout.Tables {
			deleted, err := s.pruneTable(ctx, table)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, errBehind), concurrent(err):
				s.log.Debug("old rows are kept", "err", err)
			case err != nil:
				s.log.Warn("old rows of the outbox not deleted", "err", err)
			case deleted > 0:
				s.log.Info("old rows of the outbox deleted", "events", deleted)
			}
		}
		if ops.Sleep(ctx, pruneEvery) != nil {
			return
		}
	}
}

// concurrent says whether somebody else deletes the same rows.
func concurrent(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "40001" // serialization_failure
}

// pruneTable deletes the old rows of a table that are published, in as many transactions as it takes.
func (s *session) pruneTable(ctx context.Context, table layout.Table) (total int64, err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what is not committed is deleted the next time
	for {
		n, err := s.pruneSome(ctx, conn, table)
		total += n
		if err != nil || n < pruneRows {
			return total, err
		}
	}
}

// pruneSome deletes some. No row has the position of its commit, and its time is from before it, which can be long before. So:
//
//  1. Take a snapshot, then ask where the log ends: each commit that the snapshot has is below.
//  2. Wait until the checkpoint is there: all that the snapshot has is published.
//  3. Delete by the same snapshot.
//
// By a new one, a row could go that was committed meanwhile and has an old time. The log would have it, so it would be published
// all the same; but a slot that is lost then could not be recovered from.
func (s *session) pruneSome(ctx context.Context, conn *pgx.Conn, table layout.Table) (int64, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	by, id := pgx.Identifier{s.layout.PruneBy}.Sanitize(), pgx.Identifier{s.layout.ID()}.Sanitize()
	old := fmt.Sprintf("FROM %s WHERE %s < now() - $1::interval", table.Quoted(), by)
	var due bool
	var written outbox.LSN
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil { // without an index on the column, the table is read
		return 0, err
	}
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT "+old+")", s.layout.PruneAfter).Scan(&due); err != nil || !due {
		return 0, err
	}
	if written, err = logEnd(ctx, tx); err != nil {
		return 0, err
	}
	if err := s.reached(ctx, written); err != nil {
		return 0, err
	}
	deleted, err := tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s IN (SELECT %s %s LIMIT %d)", table.Quoted(), id, id, old, pruneRows), s.layout.PruneAfter)
	if err == nil {
		err = tx.Commit(ctx)
	}
	return deleted.RowsAffected(), err
}

// reached waits until the checkpoint is at a position.
func (s *session) reached(ctx context.Context, lsn outbox.LSN) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pruneWithin, errBehind)
	defer cancel()
	for {
		if cp := s.metrics.seen.last.Load(); cp != nil && cp.At.End >= lsn {
			return nil
		}
		if ops.Sleep(ctx, prunePoll) != nil {
			return context.Cause(ctx)
		}
	}
}
