package wal

import (
	"context"
	"errors"
	"os"
	"time"
)

// fill waits for more from the server, until a status update is due or something was confirmed.
func (s *Stream) fill(ctx context.Context) error {
	// The deadline is set before confirmed is looked at. In the other order a Confirm between the two would set its
	// deadline first and lose it, and the server would wait for the next regular update.
	if err := s.conn.SetReadDeadline(s.statusDue()); err != nil {
		return err
	}
	if err := s.sendStatusIfDue(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.more && s.gatherFor == 0 {
		// What had arrived is delivered already: this delays nothing but what is not there yet.
		select {
		case <-time.After(burstPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	before := s.frames.w - s.frames.r
	err := s.frames.fill()
	if err == nil && s.gatherFor > 0 {
		s.gather()
	}
	s.more = s.frames.w-s.frames.r-before >= burstBytes
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return s.sendStatusIfDue()
	}
	return err
}

// gather reads on for a moment. An encrypted connection returns one record a read, and Postgres puts each message into a
// record of its own: the consumer would be handed crumbs, would never have more than chunksAhead of them at hand, and in
// a backlog would commit almost every source transaction by itself.
func (s *Stream) gather() {
	_ = s.conn.SetReadDeadline(time.Now().Add(s.gatherFor)) // an error comes again, at the next read
	for !s.frames.full() {
		if s.frames.fill() != nil {
			return // the moment is over, a Confirm ended it, or it is an error, which comes again
		}
	}
}
