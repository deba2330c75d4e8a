package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// replayer says what was recorded, on a connection of its own, and throws the answers away: the least that any client has
// to do that writes the same rows in the same statements. It encodes nothing and decodes nothing.
type replayer struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte // what is sent next

	updated int64 // rows that the last exchange's UPDATEs have changed
}

// syncs is the message that ends what is sent together (Sync).
var syncs = []byte{'S', 0, 0, 0, 4}

// replayer connects to a read model as a projector does, and prepares what a projector has prepared. The caller must close its connection.
func (r *recording) replayer(ctx context.Context, url string) (*replayer, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for name, value := range r.session {
		config.RuntimeParams[name] = value
	}
	taken, err := takeOver(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect a replayer: %w", err)
	}
	p := &replayer{conn: taken.Conn, in: bufio.NewReaderSize(taken.Conn, 64<<10)}
	for _, s := range r.statements {
		p.out = append(p.out, s.parse...)
	}
	if err := p.exchange(1, syncs); err != nil {
		_ = p.conn.Close()
		return nil, fmt.Errorf("prepare the statements: %w", err)
	}
	return p, nil
}

// guard lets ctx break the connection, until it is called off.
func (p *replayer) guard(ctx context.Context) (off func() bool) {
	return context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
}

// way is how batches are replayed.
type way int

const (
	bare     way = iota // only what is written, in one round trip
	unfenced            // after reading the state, as the projector does: two round trips
	whole               // the fence before it: all that the projector says
)

var errNotHeld = errors.New("the fence did not hold: the recording is of more than one claim")

// batch replays a batch.
func (p *replayer) batch(b batch, m [roles][]byte, w way) error {
	if w == bare {
		return p.exchange(1+b.queries, m[begin], m[writes], syncs)
	}
	if w == unfenced {
		m[fence] = nil
	}
	if err := p.exchange(1, m[begin], m[fence], m[read], syncs); err != nil {
		return err
	}
	if w == whole && p.updated != 1 {
		return fmt.Errorf("offset %d: %w", b.next, errNotHeld)
	}
	return p.exchange(1+b.queries, m[writes], syncs)
}

// query says a simple query.
func (p *replayer) query(sql string) error {
	message, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		return err
	}
	return p.exchange(1, message)
}

// exchange sends messages and waits until the server has said so many times that it is ready for the next ones. It returns
// the first error that the server reports.
func (p *replayer) exchange(answers int, messages ...[]byte) error {
	for _, m := range messages {
		p.out = append(p.out, m...)
	}
	_, err := p.conn.Write(p.out)
	p.out = p.out[:0]
	if err != nil {
		return err
	}
	p.updated = 0
	var failed error
	for answers > 0 {
		kind, err := p.answer(&failed)
		if err != nil {
			return err
		}
		if kind == 'Z' {
			answers--
		}
		if kind == 'Z' && failed != nil {
			return failed
		}
	}
	return nil
}

// answer reads a message.
func (p *replayer) answer(failed *error) (kind byte, err error) {
	head, err := p.in.Peek(frameHeader)
	if err != nil {
		return 0, err
	}
	kind = head[0]
	size := int(binary.BigEndian.Uint32(head[1:])) - (frameHeader - 1)
	if _, err = p.in.Discard(frameHeader); err != nil {
		return 0, err
	}
	if kind != 'E' && kind != 'C' {
		_, err = p.in.Discard(size)
		return kind, err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(p.in, body); err != nil {
		return 0, err
	}
	if kind == 'C' {
		if tag := pgconn.NewCommandTag(string(body[:size-1])); tag.Update() {
			p.updated += tag.RowsAffected()
		}
		return kind, nil
	}
	var e pgproto3.ErrorResponse
	if err := e.Decode(body); err != nil {
		return 0, err
	}
	if *failed == nil {
		*failed = pgconn.ErrorResponseToPgError(&e)
	}
	return kind, nil
}
