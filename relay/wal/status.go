package wal

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

func (s *Stream) statusDue() time.Time {
	if s.replyAsked {
		return s.statusAt.Add(replyPause)
	}
	return s.statusAt.Add(statusEvery)
}

func (s *Stream) sendStatusIfDue() error {
	select {
	case <-s.wake:
	default:
	}
	if outbox.LSN(s.confirmed.Load()) == s.reported && time.Now().Before(s.statusDue()) {
		return nil
	}
	return s.sendStatus()
}

// sendStatus reports confirmed as written, flushed and applied. All three are always the same, and zeros before the
// first Confirm: a server that is told a written position and a flushed one of zero, by a client that helps by copying
// the one into the other, forgets rows that nobody has (I5).
func (s *Stream) sendStatus() error {
	at := s.confirmed.Load()
	now := time.Now()
	b := make([]byte, 0, 39)
	b = append(b, 'd', 0, 0, 0, 38, pglogrepl.StandbyStatusUpdateByteID)
	for range 3 {
		b = binary.BigEndian.AppendUint64(b, at)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMicro()-946_684_800_000_000))
	b = append(b, 0) // no answer wanted
	if err := s.conn.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("status update: %w", err)
	}
	s.reported, s.statusAt, s.replyAsked = outbox.LSN(at), now, false
	return nil
}

// goodbye tells the server the last position and that no more is wanted. Without it nothing is lost: the server would
// only send again what the checkpoint already holds.
func (s *Stream) goodbye() error {
	if err := s.sendStatus(); err != nil {
		return err
	}
	b, err := (&pgproto3.CopyDone{}).Encode(nil)
	if err != nil {
		return err
	}
	if b, err = (&pgproto3.Terminate{}).Encode(b); err != nil {
		return err
	}
	_, err = s.conn.Write(b)
	return err
}
