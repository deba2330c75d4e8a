package wal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

const (
	// senderTimeout is after how long Postgres gives up on a relay that says nothing, and with it the slot: the time
	// that a paused or cut-off relay keeps a standby waiting.
	senderTimeout = 5 * time.Second
	statusEvery   = senderTimeout / 3
	// replyPause is the least time between two status updates that the server asked for. A server that shuts down asks
	// again as soon as it has an answer.
	replyPause   = 20 * time.Millisecond
	writeTimeout = senderTimeout

	chunkMessages = 512 // of a chunk at most, so that memory in flight is bounded; see also chunkBytes
	chunkBytes    = 256 << 10
	chunksAhead   = 4 // decoded while the consumer is busy

	// After a read of burstBytes, or while the stream is behind, more is on its way. Then the next read waits for burstPause, in which
	// it arrives: Postgres sends each row by itself, and who reads it at once is woken for each, and both pay for it.
	burstBytes = 4 << 10
	// backlogAge is from when on the stream is behind: how long after its commit the server has sent a transaction. Higher: what piles
	// up while the machine is busy is published in crumbs, which keeps it busy. Lower: pauses where there is no backlog.
	backlogAge = 15 * time.Millisecond
	burstPause = 250 * time.Microsecond

	// tlsGather is how long a read goes on for what is right behind, on an encrypted connection: see gather. It is added to
	// the time that an event takes.
	tlsGather = 2 * time.Millisecond
)

// ErrSlotActive means that another connection streams from the slot: another relay lives.
var ErrSlotActive = errors.New("the replication slot is in use by another relay")

// ErrSlotUnusable means that nothing can be streamed from the slot: its log is gone, or it is not ours.
var ErrSlotUnusable = errors.New("the replication slot cannot be used")

// ErrNoSlot means that there is no slot of that name.
var ErrNoSlot = errors.New("the replication slot does not exist")

// ErrPublicationAway means that a server of before Postgres 18 cannot send what was written while there was no such publication,
// and so nothing behind it either. Later ones leave it out and say so, see Skipped.
var ErrPublicationAway = errors.New("something was written while the publication was not there")

// Stream delivers the outbox's transactions from a slot. To hold a Stream is to hold the slot: no second one can be
// opened until this one is closed or Postgres gives it up.
type Stream struct {
	conn   net.Conn
	sender uint32
	frames *frames
	asm    assembler
	chunks chan *Chunk
	free   chan *Chunk // released ones

	// confirmed is what the server may be told is flushed; zero until the first Confirm.
	// I5: confirmed <= the position in a committed checkpoint.
	confirmed atomic.Uint64
	wake      chan struct{} // holds one token when confirmed has risen

	skipped   atomic.Pointer[string]
	gatherFor time.Duration // 0: a read returns all that has arrived

	// Owned by Run:
	reported   outbox.LSN // the last confirmed that was sent
	statusAt   time.Time  // when the last status update was sent
	replyAsked bool       // the server waits for a status update
	size       int        // bytes of rows in asm.out
	more       bool       // what the last read brought says that more is on its way
	sentAt     time.Time  // when the last message of pgoutput was sent, by the server's clock, as commit times are
}

// Open starts streaming the layout's tables from the slot, from where Postgres believes that it was acknowledged. The connection must have
// been made by Connect, and belongs to the stream from here on, also when Open returns an error.
//
// Postgres is not asked for a position: it would silently go forward to its own if that were later, and silently skip
// what lies below a position that is too high. Who reads drops what its checkpoint already holds.
//
// It returns ErrSlotActive, ErrSlotUnusable or ErrNoSlot, wrapped.
func Open(ctx context.Context, conn *pgconn.PgConn, slot string, l *layout.Layout) (*Stream, error) {
	s, err := open(ctx, conn, slot, l)
	if err != nil {
		_ = conn.Close(ctx) // no use once Hijack has taken it, and then open closes what it took
		return nil, fmt.Errorf("stream from slot %s: %w", slot, err)
	}
	return s, nil
}

func open(ctx context.Context, conn *pgconn.PgConn, slot string, l *layout.Layout) (*Stream, error) {
	// The connection is taken over before the command is sent. pgconn reads ahead; taken over later, it would keep the
	// first rows in its own buffer, and they would be missing.
	if err := conn.SyncConn(ctx); err != nil {
		return nil, err
	}
	taken, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	s := &Stream{
		conn:   taken.Conn,
		sender: taken.PID,
		frames: newFrames(taken.Conn),
		asm:    assembler{decode: decoder{layout: l}},
		chunks: make(chan *Chunk, chunksAhead),
		free:   make(chan *Chunk, chunksAhead),
		wake:   make(chan struct{}, 1),
	}
	if _, encrypted := taken.Conn.(*tls.Conn); encrypted {
		s.gatherFor = tlsGather
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	err = s.start(slot, l.Publication)
	if !stop() && err == nil { // the answer was quicker than the deadline, which is or will be on the connection
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = s.conn.Close()
		return nil, err
	}
	return s, nil
}

// start sends START_REPLICATION and reads its answer.
func (s *Stream) start(slot, publication string) error {
	command := fmt.Sprintf(`START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names %s)`,
		quoteIdentifier(slot), quoteLiteral(quoteIdentifier(publication)))
	query, err := (&pgproto3.Query{String: command}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(query); err != nil {
		return err
	}
	for {
		kind, body, ok, err := s.frames.next()
		switch {
		case err != nil:
			return err
		case !ok:
			if err := s.frames.fill(); err != nil {
				return err
			}
		case kind == 'W': // CopyBothResponse
			s.statusAt = time.Now()
			return nil
		case kind == 'E':
			return slotError(serverError(body))
		}
	}
}

// Sender is the server process that sends: who holds the slot, as the server says itself.
func (s *Stream) Sender() uint32 { return s.sender }

// Chunks delivers what has been decoded, in order; a chunk is what was there, without waiting for more. The channel is
// never closed: Run's error ends the stream. The receiver owns what it receives, until it releases it.
func (s *Stream) Chunks() <-chan *Chunk { return s.chunks }

// Release gives a chunk back, with the memory of its rows, to be used again.
func (s *Stream) Release(c *Chunk) {
	if cap(c.block) > 2*chunkBytes {
		c.block = nil // for one large row, which is no reason to keep as much for ever
	}
	clear(c.Messages) // lets go of smaller blocks
	select {
	case s.free <- c:
	default:
	}
}

// Confirm lets the server discard the log up to a position, which never goes back. The caller must have made the
// position durable first (I5): a server told too early would not send again what a crash then loses.
func (s *Stream) Confirm(lsn outbox.LSN) {
	for {
		old := s.confirmed.Load()
		if uint64(lsn) <= old {
			return
		}
		if s.confirmed.CompareAndSwap(old, uint64(lsn)) {
			break
		}
	}
	select {
	case s.wake <- struct{}{}:
	default: // the owner has a reason to look already
	}
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // see fill for why none is lost
}

// Run reads until the context ends or the connection breaks, then sends a last status update if it can and closes the
// connection, which frees the slot. Its error is never nil; it wraps ErrPublicationAway where the log cannot be read on.
func (s *Stream) Run(ctx context.Context) error {
	defer s.conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := s.run(ctx)
	if ctx.Err() != nil {
		_ = s.goodbye()
		return context.Cause(ctx)
	}
	return fmt.Errorf("replication stream: %w", err)
}

func (s *Stream) run(ctx context.Context) error {
	for ctx.Err() == nil {
		kind, body, ok, err := s.frames.next()
		if err != nil {
			return err
		}
		if ok {
			if err := s.message(kind, body); err != nil {
				return err
			}
		}
		// A chunk goes out when it is full, or when what has arrived is used up.
		if len(s.asm.out) >= chunkMessages || s.size >= chunkBytes || !ok && len(s.asm.out) > 0 {
			if err := s.deliver(ctx); err != nil {
				return err
			}
		}
		if !ok {
			if err := s.fill(ctx); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
