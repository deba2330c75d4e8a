package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

func (s *Stream) message(kind byte, body []byte) error {
	switch kind {
	case 'd': // CopyData
		return s.copyData(body)
	case 'E':
		return publicationError(serverError(body))
	case 'c': // CopyDone: the server ends the stream, as it does when it shuts down
		return errors.New("the server ended the stream")
	case 'N':
		return s.notice(body)
	case 'S': // a parameter
		return nil
	default:
		return fmt.Errorf("unexpected protocol message %q", kind)
	}
}

// notice remembers that the server leaves changes out, because the publication was not there when they were made. Postgres 18
// and later say so, earlier ones end the stream.
func (s *Stream) notice(body []byte) error {
	var m pgproto3.NoticeResponse
	if err := m.Decode(body); err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	if m.Code == "55000" { // object_not_in_prerequisite_state
		s.skipped.Store(&m.Message)
		s.asm.hole()
	}
	return nil
}

// Skipped is what the server has said about changes that it left out; empty for nothing.
func (s *Stream) Skipped() string {
	if said := s.skipped.Load(); said != nil {
		return *said
	}
	return ""
}

func (s *Stream) copyData(b []byte) error {
	if len(b) == 0 {
		return errTruncated
	}
	switch b[0] {
	case pglogrepl.XLogDataByteID:
		const header = 24 // positions, which are not ours to acknowledge, and the time of sending
		if len(b) < 1+header {
			return fmt.Errorf("XLogData: %w", errTruncated)
		}
		s.size += len(b)
		s.sentAt = postgresTime(binary.BigEndian.Uint64(b[1+header-8:]))
		return s.asm.data(b[1+header:])
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(b[1:])
		if err != nil {
			return err
		}
		s.replyAsked = s.replyAsked || k.ReplyRequested
		s.asm.idle(outbox.LSN(k.ServerWALEnd), k.ReplyRequested)
		return nil
	default:
		return fmt.Errorf("unknown replication message %q", b[0])
	}
}

// behind says whether more is on its way behind messages, which are none where one large row is held back. It is not behind a
// keepalive: the server has nothing more to send.
func (s *Stream) behind(messages []Message) bool {
	if n := len(messages); n > 0 && messages[n-1].Kind == Idle {
		return false
	}
	return s.sentAt.Sub(s.asm.at) > backlogAge
}

// deliver hands the chunk over. While the consumer is busy it keeps the connection alive: Postgres would take a relay
// that waits for Kafka for a dead one.
func (s *Stream) deliver(ctx context.Context) error {
	chunk := new(Chunk)
	select {
	case chunk = <-s.free:
	default:
	}
	chunk = s.asm.cut(chunk)
	chunk.More, s.size = s.behind(chunk.Messages), 0
	s.more = s.more || chunk.More
	for {
		select {
		case s.chunks <- chunk:
			return nil
		default:
		}
		timer := time.NewTimer(time.Until(s.statusDue()))
		select {
		case s.chunks <- chunk:
			timer.Stop()
			return nil
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.sendStatusIfDue(); err != nil {
			return err
		}
	}
}
