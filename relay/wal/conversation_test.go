package wal

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// server is the other end of a stream. A real one has keepalives to say all the time, which would hide a stream that has
// to be woken by them.
type server struct {
	t       *testing.T
	conn    net.Conn
	updates chan outbox.LSN // the flushed position of each status update
}

func converse(t *testing.T, changes ...func(*Stream)) (*server, *reader) {
	t.Helper()
	near, far := net.Pipe()
	s := &server{t: t, conn: far, updates: make(chan outbox.LSN)}
	stream := &Stream{
		conn: near, frames: newFrames(near), chunks: make(chan *Chunk, chunksAhead), free: make(chan *Chunk, chunksAhead), wake: make(chan struct{}, 1),
		statusAt: time.Now(), asm: assembler{decode: decoder{layout: layout.Own()}},
	}
	for _, change := range changes {
		change(stream)
	}
	if err := stream.asm.data(relationMessage(outboxOID, announced...)); err != nil {
		t.Fatal(err)
	}
	finished := make(chan struct{})
	t.Cleanup(func() { _ = far.Close(); <-finished })
	go func() {
		defer close(finished)
		s.listen()
	}()
	return s, run(t, stream)
}

// listen passes on the status updates until the stream closes.
func (s *server) listen() {
	f := newFrames(s.conn)
	for {
		_, body, ok, err := f.next()
		if err != nil {
			s.t.Errorf("the stream sent: %v", err)
			return
		}
		if !ok {
			if f.fill() != nil {
				return
			}
			continue
		}
		if len(body) != 34 || body[0] != 'r' {
			continue // goodbye
		}
		write, flush, apply := binary.BigEndian.Uint64(body[1:]), binary.BigEndian.Uint64(body[9:]), binary.BigEndian.Uint64(body[17:])
		if write != flush || apply != flush {
			s.t.Errorf("told %d, %d, %d", write, flush, apply)
		}
		select {
		case s.updates <- outbox.LSN(flush):
		case <-s.t.Context().Done():
		}
	}
}

func (s *server) send(messages ...[]byte) {
	s.t.Helper()
	for _, m := range messages {
		if _, err := s.conn.Write(m); err != nil {
			s.t.Fatal(err)
		}
	}
}

// told waits for a status update and says how long it took.
func (s *server) told(want outbox.LSN) time.Duration {
	s.t.Helper()
	began := time.Now()
	for {
		select {
		case got := <-s.updates:
			if got > want {
				s.t.Fatalf("told %s, want %s", got, want)
			}
			if got == want {
				return time.Since(began)
			}
		case <-time.After(patience):
			s.t.Fatalf("never told %s", want)
		}
	}
}

func TestConfirmWakesAStreamThatHearsNothing(t *testing.T) {
	t.Parallel()
	s, r := converse(t)
	const rounds = 2000
	var waited time.Duration
	for n := range outbox.LSN(rounds) {
		// Now and then at once, now and then when the stream has begun to wait again, and in between.
		for range rand.N(2000) {
			if r.confirmed.Load() > uint64(n) {
				t.Fatal("confirmed by itself")
			}
		}
		r.Confirm(n + 1)
		waited += s.told(n + 1)
		if waited > statusEvery*3/4 { // one that is lost takes until the next regular update
			t.Fatalf("%d confirmations took %s", n+1, waited)
		}
	}
}

// TestMessagesThatAreReadOneByOneAreDeliveredTogether is an encrypted connection as the stream sees it: a read returns one
// message, whatever else has arrived.
func TestMessagesThatAreReadOneByOneAreDeliveredTogether(t *testing.T) {
	t.Parallel()
	s, r := converse(t, func(s *Stream) { s.gatherFor = patience })
	const transactions = 100
	for n := range outbox.LSN(transactions) {
		s.send(xlog(beginMessage(10*n+10, 0)), xlog(insertNo(int(n))), xlog(commitMessage(10*n+10, 10*n+15)))
	}
	r.Confirm(1) // which ends the gathering at once
	s.told(1)
	if chunk := <-r.Chunks(); len(chunk.Messages) != 3*transactions {
		t.Errorf("the first chunk has %d messages, want all %d", len(chunk.Messages), 3*transactions)
	}
}

// TestRowsAreWholeUntilTheirChunkIsReleased: the memory of a released chunk is used again, also while a row that was read
// before is still held back, because nobody knows yet whether it is its transaction's last.
func TestRowsAreWholeUntilTheirChunkIsReleased(t *testing.T) {
	t.Parallel()
	s, r := converse(t)
	const transactions, rows = 200, 3
	go func() {
		for n := range transactions {
			at := outbox.LSN(10*n + 10)
			messages := [][]byte{xlog(beginMessage(at, 0))}
			for i := range rows {
				messages = append(messages, xlog(insertNo(rows*n+i)))
			}
			for _, m := range append(messages, xlog(commitMessage(at, at+5))) {
				_, _ = s.conn.Write(m) // each is a read of its own
			}
		}
	}()
	for n := 0; n < transactions*rows; {
		chunk := <-r.Chunks()
		for _, m := range chunk.Messages {
			if m.Kind != Insert {
				continue
			}
			if diff := cmp.Diff(m.Row, exampleRow(n)); diff != "" || m.Last != (n%rows == rows-1) {
				t.Fatalf("row %d, last %v (-got +want):\n%s", n, m.Last, diff)
			}
			n++
		}
		for i := range chunk.block {
			chunk.block[i] = 'x'
		}
		r.Release(chunk)
	}
}

func TestServerThatAsksIsAnswered(t *testing.T) {
	t.Parallel()
	s, r := converse(t)
	r.Confirm(7)
	s.told(7)
	s.send(keepalive(9, false), keepalive(9, true))
	if took := s.told(7); took > statusEvery*3/4 {
		t.Errorf("it took %s", took)
	}
	for n, want := range []Message{{Kind: Idle, LSN: 9}, {Kind: Idle, LSN: 9, Asked: true}} {
		if got := r.next(); got.Kind != want.Kind || got.LSN != want.LSN || got.Asked != want.Asked {
			t.Errorf("message %d: got %+v, want %+v", n, got, want)
		}
	}
}

func TestServerIsToldWithoutAsking(t *testing.T) {
	t.Parallel()
	s, _ := converse(t)
	for range 2 {
		if took := s.told(0); took > senderTimeout/2 {
			t.Errorf("it took %s", took)
		}
	}
}

func TestTransactionCutByTheEndOfTheConnectionIsNotDelivered_I3(t *testing.T) {
	t.Parallel()
	s, r := converse(t)
	s.send(xlog(beginMessage(10, 0)), xlog(insertNo(1)), xlog(insertNo(2)))
	if m := r.next(); m.Kind != Begin {
		t.Fatalf("got %+v", m)
	}
	if m := r.next(); m.Kind != Insert || m.Last {
		t.Fatalf("got %+v", m)
	}
	_ = s.conn.Close()
	if err := <-r.done; err == nil {
		t.Error("the stream ended without an error")
	}
	select {
	case got := <-r.Chunks():
		t.Errorf("got %+v: whether row 2 was the last cannot be known", got)
	default:
	}
}

func TestServersErrorEndsRunWithWhatItSaid(t *testing.T) {
	t.Parallel()
	for want, message := range map[string][]byte{
		"terminating connection (SQLSTATE 57P01)": frame('E', []byte("SFATAL\x00C57P01\x00Mterminating connection\x00\x00")),
		"the server ended the stream":             frame('c', nil),
		"unexpected protocol message":             frame('Z', []byte("I")),
		"unknown replication message":             frame('d', []byte("?")),
		"XLogData: truncated":                     frame('d', []byte("w12345")),
	} {
		s, r := converse(t)
		s.send(message)
		r.fails(want)
	}
}
