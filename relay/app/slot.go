package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// standbyPoll is how often a standby looks whether the slot has become free, on average.
const standbyPoll = 200 * time.Millisecond

// lock holds the slot, or finds that there is none. While another relay has it, wait decides.
func (s *session) lock(ctx context.Context, wait func(context.Context) error) error {
	for {
		err := s.attempt(ctx)
		switch {
		case err == nil:
			s.log.Info("slot taken", "slot", s.config.Slot)
			crash.At(crash.Locked)
			return nil
		case errors.Is(err, wal.ErrNoSlot):
			return nil
		case !errors.Is(err, wal.ErrSlotActive):
			return err
		}
		if err := wait(ctx); err != nil {
			return err
		}
	}
}

// attempt holds the slot, or returns ErrNoSlot or ErrSlotActive. It looks before it tries, which proves nothing: each try
// in vain would be an error in the server's log.
func (s *session) attempt(ctx context.Context) error {
	conn, err := s.replication(ctx)
	if err != nil {
		return err
	}
	if s.source, err = wal.Identify(ctx, conn); err == nil {
		var slot wal.Slot
		if slot, err = wal.Inspect(ctx, s.database, s.config.Slot); err == nil && slot.Active {
			err = wal.ErrSlotActive
		}
	}
	if err != nil {
		_ = conn.Close(ctx)
		return err
	}
	stream, err := wal.Open(ctx, conn, s.config.Slot, s.layout)
	if err != nil {
		return err
	}
	s.hold(ctx, stream)
	return nil
}

// stillNoSlot looks again, behind the checkpoint, for a slot that was not there at the start: another relay that was started at the same
// time may have made it since. Its checkpoint without a slot would be taken for one whose slot was lost, which is refused for good.
func (s *session) stillNoSlot(ctx context.Context) error {
	if s.slot != nil {
		return nil
	}
	_, err := wal.Inspect(ctx, s.database, s.config.Slot)
	switch {
	case errors.Is(err, wal.ErrNoSlot):
		return nil
	case err != nil:
		return err
	}
	return errSlotMade
}

// unusable refuses a slot from which nothing can be streamed.
func (s *session) unusable(ctx context.Context, err error) error {
	if !errors.Is(err, wal.ErrSlotUnusable) {
		return err
	}
	slot, inspecting := wal.Inspect(ctx, s.database, s.config.Slot)
	if inspecting != nil || slot.Usable {
		return errors.Join(err, inspecting)
	}
	remedy := "Run: relay recover --reason '...'"
	if !slot.Ours {
		remedy = "It is not one of pgoutput in this database: choose another --slot"
	}
	return &checkpoint.Refusal{
		Gate:   checkpoint.GateSlot,
		Found:  fmt.Sprintf("slot %s cannot be used, its status is %s: %v", s.config.Slot, slot.Status, err),
		Remedy: remedy,
	}
}

// standBy waits until the slot is free. A standby touches nothing in Kafka: to fence would be to take over.
func (s *session) standBy(ctx context.Context) error {
	s.log.Info("standing by", "slot", s.config.Slot)
	s.metrics.is(roleStandby)
	s.metrics.seen.last.Store(nil) // from here on another relay knows how far the topic has come
	s.health.Set(healthRelay, nil)
	return s.poll(ctx)
}

// poll returns when the slot is free, or is not there.
func (s *session) poll(ctx context.Context) error {
	for {
		slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
		if errors.Is(err, wal.ErrNoSlot) || err == nil && !slot.Active {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(standbyPoll/2 + rand.N(standbyPoll)): // jitter: of several standbys not all try at once
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// held is a stream with the goroutine that runs it.
type held struct {
	*wal.Stream

	cancel context.CancelFunc
	done   chan struct{}
	err    error // why it ended, once done is closed
}

// hold runs the stream until release, which outlives the start. The stream's own end is the session's, but for a log that cannot be
// read on, of a slot that is about to be made anew.
func (s *session) hold(ctx context.Context, stream *wal.Stream) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	remakes := s.remakes
	h := &held{Stream: stream, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		err := stream.Run(ctx)
		h.err = s.undecodable(err)
		if expected := remakes && errors.Is(err, wal.ErrPublicationAway); ctx.Err() == nil && !expected {
			s.fail(h.err)
		}
	}()
	s.slot = h
}

func (h *held) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// undecodable refuses a slot whose log cannot be read on, because the publication was not there for a while.
func (s *session) undecodable(err error) error {
	if !errors.Is(err, wal.ErrPublicationAway) {
		return err
	}
	return s.hole(err.Error())
}

// hole is the refusal of a slot that does not send all that was written.
func (s *session) hole(said string) *checkpoint.Refusal {
	remedy := "Make the publication if it is not there, then run: relay recover --reason '...'"
	if !s.layout.Own {
		remedy = "If a connector has the slot, let it run on until confirmed_flush_lsn has passed the publication; else only the table can have it: " +
			"SELECT pg_drop_replication_slot('" + s.config.Slot + "'), and with relay.order.by run: relay recover --reason '...'"
	}
	return &checkpoint.Refusal{
		Gate: checkpoint.GatePublication,
		Found: fmt.Sprintf("slot %s cannot send what was written while publication %s was not there (%s)",
			s.config.Slot, s.layout.Publication, said),
		Remedy: remedy,
	}
}

// release lets go of the slot, after a last acknowledgement.
func (s *session) release() {
	if s.slot != nil {
		s.slot.cancel()
		<-s.slot.done
		s.slot = nil
	}
}
