package viewtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

// fault ends a connection at the n-th step of all connections, counted from 1. Steps are what the server is told to do: which
// and how many depends on the events alone.
type fault struct {
	answers bool // the step is done, and its answer does not arrive; otherwise it is the last that the server gets
	at      int64
	steps   atomic.Int64
}

// The messages that have the server do something (PostgreSQL documentation, 54.7).
const (
	query       = 'Q'
	execute     = 'E'
	synchronize = 'S'
)

// step counts a message of a kind, and reports whether the fault is to come.
func (f *fault) step(kind byte) bool {
	if kind != query && kind != synchronize && (kind != execute || f.answers) {
		return false
	}
	return f.steps.Add(1) == f.at
}

// fired reports whether there was such a step.
func (f *fault) fired() bool { return f.steps.Load() >= f.at }

func (f *fault) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: conn, f: f}, nil
}

// faultyConn is a connection to Postgres without TLS.
type faultyConn struct {
	net.Conn

	f       *fault
	started bool        // the startup message has been sent, which alone has no type
	deaf    atomic.Bool // the next answer does not arrive
}

var errFault = errors.New("the connection was ended on purpose")

func (c *faultyConn) Write(b []byte) (int, error) {
	for at := 0; at < len(b); {
		kind := byte(0)
		if c.started {
			kind = b[at]
			at++
		}
		c.started = true
		if at+4 > len(b) {
			return 0, errors.New("a message in two pieces: the test does not understand the connection")
		}
		at += int(binary.BigEndian.Uint32(b[at:]))
		switch {
		case !c.f.step(kind):
		case c.f.answers:
			c.deaf.Store(true)
		default:
			_, _ = c.Conn.Write(b[:min(at, len(b))])
			_ = c.Conn.Close()
			return 0, errFault
		}
	}
	return c.Conn.Write(b)
}

func (c *faultyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b) // the server has done what it answers
	if c.deaf.Load() {
		_ = c.Conn.Close()
		return 0, errFault
	}
	return n, err
}

var errUntested = errors.New("no commit lost its answer: the test does not test it")

// killed has a projector connect, claim its partition and apply a batch, over and over, and ends its connection at the first
// step, at the second, and so on.
func (w *world) killed(ctx context.Context, seed uint64) error {
	if err := w.migrate(ctx); err != nil {
		return err
	}
	history := History(seed, 40, 400)
	for _, answers := range []bool{false, true} {
		unknown := 0
		for at := int64(1); ; at++ {
			f := &fault{answers: answers, at: at}
			committed, err := w.survive(ctx, f, history)
			if err != nil {
				return fmt.Errorf("answers: %t, step %d: %w", answers, at, err)
			}
			if unknown += committed; !f.fired() {
				break
			}
		}
		if answers && unknown == 0 { // otherwise the server may not read what it was sent: its first answer fails
			return errUntested
		}
	}
	return nil
}

const ended = `
SELECT count(*) = 0
FROM pg_stat_activity
WHERE datname = current_database()
  AND application_name = '` + faulty + `'`

// survive applies one half of a history, then the other with a fault on the way, and looks at the rows when all sessions have
// ended. It returns how often a batch turned out to be committed although there was an error.
func (w *world) survive(ctx context.Context, f *fault, history []Event) (unknown int, err error) {
	if err := w.empty(ctx); err != nil {
		return 0, err
	}
	half := len(history) / 2
	if err := w.inBatches(ctx, w.writer, history[:half], half); err != nil {
		return 0, err
	}
	pool, err := w.connect(ctx, projector, "public", f)
	if err != nil {
		return 0, err
	}
	unknown, err = w.insist(ctx, pool, history[half:])
	pool.Close()
	if err != nil {
		return unknown, err
	}
	if err := w.until(ctx, ended); err != nil {
		return unknown, err
	}
	return unknown, w.holds(ctx, history, 0)
}

// insist claims the partition and applies a batch, trying again as the consumer does.
func (w *world) insist(ctx context.Context, pool *pgxpool.Pool, batch []Event) (unknown int, err error) {
	const tries = 4
	var parts []Apply
	for range tries {
		if parts, err = w.project(ctx, pool, 1); err == nil {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("claim: %w", err)
	}
	for range tries {
		if err = parts[0](ctx, batch); err == nil {
			return unknown, nil
		}
		var next int64 // once no transaction is at it
		if err := w.owner.QueryRow(ctx, `SELECT next_offset FROM projection_offsets FOR UPDATE`).Scan(&next); err != nil {
			return unknown, err
		}
		if next > batch[len(batch)-1].Offset {
			unknown++
		}
	}
	return unknown, err
}
