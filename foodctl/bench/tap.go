package bench

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"
)

// tap is shown what a client says on one connection, and records it.
type tap struct {
	to *recording

	buf     []byte // has come, and is no whole message yet
	began   bool   // the first message, which has a form of its own, has come
	broken  bool   // what comes is not understood
	unnamed statement
	tx      *transaction // nil outside of one
	current role         // of the statement that was bound last
	ending  bool         // that was COMMIT
}

// transaction is one that is being recorded.
type transaction struct {
	messages [roles][]byte
	queries  int
	part     int64
	next     int64 // -1 before there is a fence
	wrote    bool
	tables   []string // that it inserts into
}

// Write implements io.Writer. It never fails: what cannot be understood makes the recording fail, and not the connection.
func (t *tap) Write(b []byte) (int, error) {
	if t.broken {
		return len(b), nil
	}
	t.buf = append(t.buf, b...)
	if err := t.messages(); err != nil {
		t.broken = true
		t.to.failed(err)
	}
	return len(b), nil
}

// messages takes those that have come whole.
func (t *tap) messages() error {
	for {
		n, err := t.message()
		if n == 0 || err != nil {
			return err
		}
		t.buf = t.buf[n:]
	}
}

// The first messages of a connection that are none of a session.
const (
	sslRequest    = 80877103
	gssEncRequest = 80877104
	cancelRequest = 80877102
)

// longest is how long a connection's first message may be for Postgres, and any other for this program.
const (
	longestStart = 10_000
	longest      = 1 << 30
)

// message takes the first message if it is there whole, and returns its size.
func (t *tap) message() (int, error) {
	head, limit := frameHeader, longest
	if !t.began {
		head, limit = frameHeader-1, longestStart
	}
	if len(t.buf) < head {
		return 0, nil
	}
	size := head - 4 + int(binary.BigEndian.Uint32(t.buf[head-4:]))
	if size > limit || size < head { // TLS, which is no message
		return 0, errEncrypted
	}
	if len(t.buf) < size {
		return 0, nil
	}
	if t.began {
		return size, t.said(slices.Clone(t.buf[:size]))
	}
	return size, t.start(t.buf[head:size])
}

// start takes the message that a connection begins with.
func (t *tap) start(body []byte) error {
	if len(body) >= 4 {
		switch binary.BigEndian.Uint32(body) {
		case sslRequest, gssEncRequest, cancelRequest:
			return nil
		}
	}
	var m pgproto3.StartupMessage
	if err := m.Decode(body); err != nil {
		return fmt.Errorf("%w: %w", errEncrypted, err)
	}
	t.began = true
	t.to.started(m.Parameters)
	return nil
}

// said takes a message of a session.
func (t *tap) said(message []byte) error {
	body := message[frameHeader:]
	switch message[0] {
	case 'P':
		var m pgproto3.Parse
		if err := m.Decode(body); err != nil {
			return err
		}
		s := understand(m.Query, message)
		if m.Name != "" {
			t.to.prepared(m.Name, s)
		} else {
			t.unnamed = s
		}
	case 'B':
		return t.bound(message)
	case 'Q':
		var m pgproto3.Query
		if err := m.Decode(body); err != nil {
			return err
		}
		t.enter(understand(m.String, nil).role)
		t.keep(message)
		if t.tx != nil {
			t.tx.queries++
		}
		t.end()
	case 'E', 'd', 'c', 'f':
		t.keep(message)
	case 'D':
		if len(body) > 0 && body[0] == 'P' {
			t.keep(message)
		}
	case 'S':
		t.end()
	}
	return nil
}

// bound takes the message that gives a statement its parameters.
func (t *tap) bound(message []byte) error {
	var m pgproto3.Bind
	if err := m.Decode(message[frameHeader:]); err != nil {
		return err
	}
	s := t.unnamed
	if m.PreparedStatement != "" {
		s = t.to.statement(m.PreparedStatement)
	}
	t.enter(s.role)
	if m.PreparedStatement == "" {
		t.keep(s.parse)
	}
	t.keep(message)
	if t.tx != nil && s.table != "" {
		t.tx.tables = append(t.tx.tables, s.table)
	}
	if t.tx == nil || s.role != fence {
		return nil
	}
	return t.fenced(s, m)
}

// fenced takes a fence, which says of which partition the transaction is.
func (t *tap) fenced(s statement, m pgproto3.Bind) error {
	if max(s.part, s.next) > len(m.Parameters) {
		return fmt.Errorf("the fence has %d parameters and means number %d", len(m.Parameters), max(s.part, s.next))
	}
	var err error
	if t.tx.part, err = integer(m.Parameters[s.part-1]); err != nil {
		return fmt.Errorf("partition of the fence: %w", err)
	}
	if t.tx.part < 0 || t.tx.part >= int64(len(t.to.batches)) {
		return fmt.Errorf("partition of the fence: %d", t.tx.part)
	}
	if t.tx.next, err = integer(m.Parameters[s.next-1]); err != nil {
		return fmt.Errorf("offset of the fence: %w", err)
	}
	return nil
}

// enter makes what follows that of a statement with a role.
func (t *tap) enter(r role) {
	t.current = r
	switch r {
	case begin:
		t.tx = &transaction{next: -1}
	case commit:
		t.current, t.ending = writes, true
	case other:
		t.tx = nil
	case writes:
		if t.tx != nil {
			t.tx.wrote = true
		}
	default:
	}
}

// keep notes a message of the current statement.
func (t *tap) keep(message []byte) {
	if t.tx != nil {
		t.tx.messages[t.current] = append(t.tx.messages[t.current], message...)
	}
}

// end ends the transaction, if that is what was said last.
func (t *tap) end() {
	if t.ending && t.tx != nil {
		t.to.add(t.tx)
	}
	if t.ending {
		t.tx, t.ending = nil, false
	}
}
