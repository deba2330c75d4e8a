package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// slotFree is how long the slot of a relay that is gone may be in use: longer than wal_sender_timeout.
const slotFree = 7 * time.Second

// errSlotMade ends a session that found no slot, or has let go of its own.
var errSlotMade = errors.New("the slot was made meanwhile, by another relay")

// load fills the topic up from the outbox table: the one way to begin, and to come back from a lost slot, a lost topic or
// a restored database. It ends with a slot that is held and a checkpoint from which to stream.
//
// The new slot's snapshot and the new slot's stream are together everything, and nothing is in both. Of the snapshot, what
// the topic already has is left out, by event id; so a load that broke off is simply begun again, and the checkpoint says
// from before its first step to after its last that it must be. Were the slot made before that is written, a crash between
// the two would leave a slot that looks like a relay's whose checkpoint was lost.
func (s *session) load(ctx context.Context, reason string) error {
	if err := s.checkTables(ctx, reason); err != nil {
		return err
	}
	consistent, table, err := s.remakeSlot(ctx, reason)
	if err != nil {
		return err
	}
	defer table.Close(context.WithoutCancel(ctx))
	published, err := s.loadTable(ctx, table)
	if err != nil {
		return err
	}
	crash.At(crash.LoadEnded)
	s.cp.Phase = checkpoint.Streaming
	s.cp.At = checkpoint.Position{End: consistent}
	if err := s.producer.Begin(); err != nil {
		return err
	}
	if err := s.commitLoad(ctx); err != nil {
		return err
	}
	s.log.Info("outbox loaded", "events", s.cp.Events, "events_before", published, "lsn", consistent.String())
	return nil
}

// loadTable publishes what the topics lack of the table, and returns how many events they had.
func (s *session) loadTable(ctx context.Context, table *backlog.Reader) (before int, err error) {
	if s.layout.Fresh {
		s.log.Info("what the outbox holds is left out", "reason", "snapshot.mode")
		return 0, nil
	}
	if err := s.route(ctx, table); err != nil {
		return 0, err
	}
	if err := s.noHanging(ctx); err != nil {
		return 0, err
	}
	published, err := s.published(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.checkPhantoms(ctx, table, published); err != nil {
		return 0, err
	}
	s.cp.Events = int64(len(published))
	if s.layout.Order == "" {
		_, err := s.fillable(ctx, table, published)
		return len(published), err
	}
	return len(published), s.fill(ctx, table, published)
}

// checkTables refuses what could not be loaded, before there is a slot that holds back the log.
func (s *session) checkTables(ctx context.Context, reason string) error {
	if s.layout.Own {
		return nil
	}
	for _, t := range s.layout.Tables {
		columns, err := layout.Inspect(ctx, s.database, t)
		if err == nil {
			err = s.layout.Fits(t, columns)
		}
		if err != nil {
			return err
		}
		if s.layout.Order != "" || s.layout.Fresh || reason != "" {
			continue
		}
		var rows bool
		if err := s.database.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+t.Quoted()+")").Scan(&rows); err != nil {
			return fmt.Errorf("look into %s: %w", t, err)
		}
		if rows {
			return backlog.ErrUnordered
		}
	}
	return nil
}

// announce commits that a load runs.
func (s *session) announce(ctx context.Context, reason string) error {
	err := s.begun(ctx, checkpoint.Record{Phase: checkpoint.Loading, Reason: reason})
	if err == nil {
		crash.At(crash.Announced)
	}
	return err
}

// begun commits a checkpoint that does not follow on another, of what there is now.
func (s *session) begun(ctx context.Context, cp checkpoint.Record) (err error) {
	cp.Format, cp.Slot, cp.Source = s.format(), s.config.Slot, s.position()
	if cp.Topics, err = s.ends(ctx); err != nil {
		return err
	}
	if cp.Cluster, err = s.cluster(ctx); err != nil {
		return err
	}
	s.cp = cp
	if err := s.producer.Begin(); err != nil {
		return err
	}
	return s.commitLoad(ctx)
}

func (s *session) commitLoad(ctx context.Context) (err error) {
	s.cp.WrittenAt = time.Now().UTC()
	s.cp, err = s.producer.Commit(ctx, s.cp)
	return err
}

// remakeSlot commits that a load runs, then drops the slot, makes it anew and holds it, and returns where it begins and the
// table as it was there. What is committed just before the drop also proves that nobody has taken over: another relay's
// slot must not be dropped.
func (s *session) remakeSlot(ctx context.Context, reason string) (outbox.LSN, *backlog.Reader, error) {
	s.release()
	s.remakes = false
	// Ours is free in a moment. One that another relay has made meanwhile is not: to wait for that is to stand by.
	waiting, cancel := context.WithTimeoutCause(ctx, slotFree, errSlotMade)
	defer cancel()
	if err := s.poll(waiting); err != nil {
		return 0, nil, err
	}
	conn, err := s.replication(ctx)
	if err != nil {
		return 0, nil, err
	}
	consistent, table, err := s.snapshot(ctx, conn, reason)
	if err != nil {
		_ = conn.Close(ctx)
		return 0, nil, err
	}
	stream, err := wal.Open(ctx, conn, s.config.Slot, s.layout)
	if err != nil {
		table.Close(ctx)
		return 0, nil, err
	}
	s.hold(ctx, stream)
	crash.At(crash.SlotMade)
	if err := s.notPaused(ctx); err != nil {
		table.Close(ctx)
		return 0, nil, err
	}
	return consistent, table, nil
}

func (s *session) snapshot(ctx context.Context, conn *pgconn.PgConn, reason string) (outbox.LSN, *backlog.Reader, error) {
	if err := s.announce(ctx, reason); err != nil {
		return 0, nil, err
	}
	if err := s.dropSlot(ctx, conn); err != nil {
		return 0, nil, err
	}
	waiting := time.AfterFunc(2*time.Second, func() {
		s.log.Warn("the new slot waits for a transaction that is older", "slot", s.config.Slot,
			"remedy", "end the session with the oldest xact_start in pg_stat_activity")
	})
	defer waiting.Stop()
	consistent, snapshot, err := wal.CreateSlot(ctx, conn, s.config.Slot)
	if err != nil {
		return 0, nil, err
	}
	url, err := s.url()
	if err != nil {
		return 0, nil, err
	}
	table, err := backlog.Open(ctx, url, snapshot, s.layout)
	return consistent, table, err
}

// dropSlot drops the slot if there is one. To try it on none would be an error in the server's log.
func (s *session) dropSlot(ctx context.Context, conn *pgconn.PgConn) error {
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	switch {
	case errors.Is(err, wal.ErrNoSlot):
		return nil
	case err != nil:
		return err
	case !s.layout.Own && slot.Usable:
		return errSlotMade // its log may be the only copy of rows
	}
	return wal.DropSlot(ctx, conn, s.config.Slot)
}

// route makes the topics known that the table's rows are routed to.
func (s *session) route(ctx context.Context, table *backlog.Reader) error {
	if !s.layout.Routed() {
		return nil
	}
	names := make(map[string]bool)
	if err := table.Routes(ctx, func(value []byte) { names[s.layout.Topic(string(value))] = true }); err != nil {
		return err
	}
	return s.found(ctx, maps.Keys(names))
}

// checkPhantoms refuses a topic with events that the table does not have. From tables that are not ours, rows may be deleted.
func (s *session) checkPhantoms(ctx context.Context, table *backlog.Reader, published eventSet) error {
	if len(published) == 0 || !s.layout.Own {
		return nil
	}
	known := 0
	err := table.IDs(ctx, func(id []byte) {
		if _, there := published[eventKey(s.onlyTopic(), id)]; there {
			known++
		}
	})
	if err != nil || known == len(published) {
		return err
	}
	return &checkpoint.Refusal{
		Gate: checkpoint.GateCanary,
		Found: fmt.Sprintf("the topic has %d events that the outbox table does not have: the database was restored from before them, and their readers have seen them",
			len(published)-known),
		Remedy: "Restore a newer backup; or delete the topic, run foodctl topics and relay recover, and rebuild the topic's readers",
	}
}
