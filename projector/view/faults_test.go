package view

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func pgError(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }

// faults breaks the connection at the n-th write or read of all connections, counted from 1.
type faults struct {
	kind string // "lost": the server never gets it; "half": it gets a part; "sent": it gets all and its answer is lost; "read"
	at   int64
	n    atomic.Int64
}

func (f *faults) fires() bool { return f.n.Add(1) == f.at }

type faultyConn struct {
	net.Conn

	f *faults
}

var errFault = errors.New("fault")

func (c faultyConn) Write(b []byte) (int, error) {
	if c.f.kind == "read" || !c.f.fires() {
		return c.Conn.Write(b)
	}
	switch c.f.kind {
	case "half":
		_, _ = c.Conn.Write(b[:len(b)/2])
	case "sent":
		_, _ = c.Conn.Write(b)
		_, _ = c.Conn.Read(make([]byte, 1)) // until the server answers: it drops what it has not read yet when the connection is reset
	}
	_ = c.Conn.Close()
	return 0, errFault
}

func (c faultyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b) // the server is done with what it answers
	if c.f.kind == "read" && c.f.fires() {
		_ = c.Conn.Close()
		return 0, errFault
	}
	return n, err
}

// faulty makes a pool like the bench's whose connections break as f says.
func (b *bench) faulty(f *faults) *pgxpool.Pool {
	b.Helper()
	config := b.pool.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return faultyConn{conn, f}, nil
	}
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	return pool
}

// TestAConnectionThatBreaksAnywhereChangesNothing_I8 breaks each single write and read of a claim and four batches, until
// the fault no longer fires; the tables must be those of a run without a fault, every time.
func TestAConnectionThatBreaksAnywhereChangesNothing_I8(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"lost", "half", "sent", "read"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			events := history(30, 6, 80)
			want := folded(events)
			unknown := 0
			for at := int64(1); ; at++ {
				b.empty()
				f := &faults{kind: kind, at: at}
				unknown += b.survive(f, events)
				if diff := cmp.Diff(viewtest.Stored(t, b.pool), want); diff != "" {
					t.Fatalf("fault at %d: tables (-got +want):\n%s", at, diff)
				}
				if next, applied, duplicates := b.counts(); applied != 80 || duplicates != 0 || next != events[79].Offset+1 {
					t.Fatalf("fault at %d: position %d, applied %d, duplicates %d", at, next, applied, duplicates)
				}
				if f.n.Load() < at {
					t.Logf("%d places, %d batches found committed without an answer", at-1, unknown)
					break
				}
			}
			if (kind == "sent" || kind == "read") && unknown == 0 {
				t.Error("no commit lost its answer: the test does not test it")
			}
		})
	}
}

// survive applies the events, trying again as the consumer does. It returns how many batches turned out to be committed
// although Apply had returned an error.
func (b *bench) survive(f *faults, events []Event) (unknown int) {
	b.Helper()
	pool := b.faulty(f)
	defer pool.Close()
	v := New(pool, testTopic, 100)
	var p *Partition
	for p == nil {
		claimed, _, err := v.Claim(b.Context(), "one", Log{testTopicID, map[int32]Bounds{0: {0, 1 << 40}}})
		if err != nil && Permanent(err) {
			b.Fatal(err)
		}
		p = claimed[0]
	}
	for rest := events; len(rest) > 0; rest = rest[20:] {
		for {
			applied, err := p.Apply(b.Context(), rest[:20])
			if err == nil {
				if !cmp.Equal(applied, Applied{Events: 20}) {
					b.Fatalf("applied %+v", applied)
				}
				break
			}
			if Permanent(err) || errors.Is(err, ErrFenced) {
				b.Fatalf("fault at %d: %v", f.at, err)
			}
			if p.unsettled != nil && b.settled() == p.unsettled.to {
				unknown++
			}
		}
	}
	return unknown
}

// settled is the position of partition 0 once no transaction is at it.
func (b *bench) settled() (next int64) {
	b.Helper()
	if err := b.pool.QueryRow(b.Context(), `SELECT next_offset FROM projection_offsets WHERE part = 0 FOR UPDATE`).Scan(&next); err != nil {
		b.Fatal(err)
	}
	return next
}
