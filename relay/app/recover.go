package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// recoverCommand is relay recover.
type recoverCommand struct {
	config `embed:""`

	DryRun bool `name:"dry-run" help:"Say what would be done, and change nothing; relays may run meanwhile."`
}

// Validate is called by kong.
func (c *recoverCommand) Validate() error {
	if c.Reason == "" && !c.DryRun {
		return errors.New("recover needs --reason: it is kept in the checkpoint")
	}
	return nil
}

// recover is what relay recover does: a load, whatever there is, unless a relay runs.
func (s *session) recover(ctx context.Context) error {
	if err := s.register(ctx); err != nil {
		return err
	}
	running := errors.New("a relay is running: stop it, and its standbys, then run relay recover again")
	waiting, cancel := context.WithTimeoutCause(ctx, slotFree, running)
	defer cancel()
	s.mends, s.remakes = true, s.layout.Own
	err := s.lock(ctx, func(context.Context) error { return s.poll(waiting) })
	if errors.Is(err, wal.ErrSlotUnusable) {
		err = s.lost(ctx, err)
	}
	if err != nil {
		return err
	}
	if err := s.notPaused(ctx); err != nil {
		return err
	}
	if err := s.fence(ctx); err != nil {
		return err
	}
	if err := s.endHanging(ctx); err != nil {
		return err
	}
	// What the old checkpoint says does not matter, and neither does it if it is damaged; but what a newer relay wrote is
	// not for this one to replace.
	was, _, err := checkpoint.Read(ctx, s.kafka, s.checkpointTopic())
	if errors.Is(err, checkpoint.ErrNewer) {
		return err
	}
	if s.slot != nil && !s.layout.Own {
		if err := s.tellLost(ctx, was); err != nil {
			return err
		}
		return s.goOn(ctx, was, s.config.Reason)
	}
	if err := s.load(ctx, s.config.Reason); err != nil {
		return err
	}
	s.slot.Confirm(s.cp.At.End)
	return nil
}

// tellLost warns of what no recovery finds: topics that do not end as the checkpoint says have lost events that the slot will
// not send again, as it was told that they are published.
func (s *session) tellLost(ctx context.Context, was checkpoint.Record) error {
	s.cp = was
	now, err := s.ends(ctx)
	if err == nil {
		err = s.allowDeleted(ctx, now)
	}
	if err != nil {
		return err
	}
	for name, ends := range was.Topics {
		if !ends.Equal(now[name]) {
			s.log.Warn("a topic does not end as the checkpoint says", "topic", name)
		}
	}
	return nil
}

// lost lets a slot be made anew whose log is gone, but not one that is somebody else's.
func (s *session) lost(ctx context.Context, err error) error {
	slot, inspecting := wal.Inspect(ctx, s.database, s.config.Slot)
	if inspecting == nil && slot.Ours && slot.Status == "lost" {
		return nil
	}
	return errors.Join(s.unusable(ctx, err), inspecting)
}

// rehearse says what recover would do, or refuses what it would refuse, and changes nothing.
func (r *relay) rehearse(ctx context.Context, out io.Writer) error {
	s, closeAll, err := r.look(ctx)
	if closeAll != nil {
		defer closeAll()
	}
	if err != nil {
		return err
	}
	if err := s.notPaused(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "relay recover would, of what can be seen now:")
	if err := s.rehearseSlot(ctx, out); err != nil {
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	hanging, err := publish.FindHanging(ctx, s.kafka, s.names()...)
	if err != nil {
		return err
	}
	for _, h := range hanging {
		fmt.Fprintf(out, "  end what hangs: %s\n", h)
	}
	if len(hanging) > 0 { // nobody can read on behind it
		fmt.Fprintln(out, "  publish what is missing then, which cannot be counted before")
		return nil
	}
	if !s.layout.Own {
		if slot, err := wal.Inspect(ctx, s.database, s.config.Slot); err == nil && slot.Usable {
			fmt.Fprintln(out, "  publish what the topics lack of the table and the slot will not send, which cannot be counted without holding it")
			return nil
		}
	}
	if s.layout.Fresh {
		fmt.Fprintln(out, "  not read the table: snapshot.mode is no_data")
		return nil
	}
	return s.rehearseLoad(ctx, out)
}

func (s *session) rehearseSlot(ctx context.Context, out io.Writer) error {
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	switch {
	case errors.Is(err, wal.ErrNoSlot):
		fmt.Fprintf(out, "  make slot %s\n", s.config.Slot)
		return nil
	case err != nil:
		return err
	case !slot.Ours:
		return s.unusable(ctx, wal.ErrSlotUnusable)
	case slot.Active:
		fmt.Fprintf(out, "  refuse while slot %s is in use: stop the relays first\n", s.config.Slot)
	}
	if !s.layout.Own && slot.Usable {
		fmt.Fprintf(out, "  keep slot %s, and go on behind what the topics have of what it would send\n", s.config.Slot)
		return nil
	}
	fmt.Fprintf(out, "  make slot %s anew, whose status is %s\n", s.config.Slot, slot.Status)
	return nil
}

// rehearseLoad counts. The topic is read before the table: the other way round, what is published meanwhile would be taken for
// events that the table does not have.
func (s *session) rehearseLoad(ctx context.Context, out io.Writer) error {
	if err := s.withTable(ctx, s.route); err != nil {
		return err
	}
	published, err := s.published(ctx)
	if err != nil {
		return err
	}
	return s.withTable(ctx, func(ctx context.Context, table *backlog.Reader) error {
		if err := s.checkPhantoms(ctx, table, published); err != nil {
			return err
		}
		total, lacking, err := s.lacking(ctx, table, published)
		if err == nil && lacking > 0 {
			err = table.Ordered()
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  publish %d of the %d events in the outbox table; %s has the others\n", lacking, total, strings.Join(s.names(), ", "))
		return nil
	})
}

// withTable has do read the table as it is now.
func (s *session) withTable(ctx context.Context, do func(context.Context, *backlog.Reader) error) error {
	tx, err := s.database.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	var snapshot string
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
		return fmt.Errorf("export a snapshot: %w", err)
	}
	url, err := s.url()
	if err != nil {
		return err
	}
	table, err := backlog.Open(ctx, url, snapshot, s.layout)
	if err != nil {
		return err
	}
	defer table.Close(context.WithoutCancel(ctx))
	return do(ctx, table)
}
