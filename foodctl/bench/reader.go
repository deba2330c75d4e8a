package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// bareReader streams what the relay streams and throws it away: the least that any reader of this log has to do. It
// looks at one byte of each message, to know the end, and acknowledges nothing, so that the next one can read the same
// again.
type bareReader struct {
	conn net.Conn
	buf  []byte
	r, w int // buf[r:w] has arrived and was not looked at yet

	nap  time.Duration // between two reads; 0 reads at once whatever comes
	want int64         // rows

	rows   int64
	bytes  int64
	reads  int64
	end    outbox.LSN // behind the last transaction; 0 until all rows have come
	spoken time.Time  // when the server last heard from it
}

const (
	readerBuffer  = 1 << 20
	readerSpeaks  = time.Second // well below wal_sender_timeout, 60 s unless somebody changed it
	frameHeader   = 5           // type byte, and a length that counts itself
	xlogHeader    = 1 + 24      // kind, positions and clock in front of a message of pgoutput (XLogData)
	commitEndAt   = 1 + 1 + 8   // the end LSN in a commit: behind its kind, flags and commit LSN
	statusMessage = 1 + 4 + 1 + 4*8 + 1
)

// startReading makes a replication connection and starts streaming from the slot. It returns the server's process.
func startReading(ctx context.Context, url, slot string) (conn net.Conn, server int, err error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, 0, err
	}
	config.RuntimeParams["replication"] = "database"
	taken, err := takeOver(ctx, config)
	if err != nil {
		return nil, 0, err
	}
	command := fmt.Sprintf(`START_REPLICATION SLOT "%s" LOGICAL 0/0 (proto_version '1', publication_names '%s')`,
		slot, outbox.Publication)
	query, err := (&pgproto3.Query{String: command}).Encode(nil)
	if err == nil {
		_, err = taken.Conn.Write(query)
	}
	if err != nil {
		_ = taken.Conn.Close()
		return nil, 0, err
	}
	return taken.Conn, int(taken.PID), nil
}

// takeOver makes a connection that nobody reads from any more: pgconn reads ahead, in the background too, and would keep
// what comes first.
func takeOver(ctx context.Context, config *pgconn.Config) (*pgconn.HijackedConn, error) {
	config.RuntimeParams["application_name"] = "foodctl-bench"
	pg, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	err = pg.SyncConn(ctx)
	if err == nil {
		var taken *pgconn.HijackedConn
		if taken, err = pg.Hijack(); err == nil {
			return taken, nil
		}
	}
	return nil, errors.Join(err, pg.Close(ctx))
}

// run reads until the transaction that holds the last wanted row has come to its end.
func (b *bareReader) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b.buf = make([]byte, readerBuffer)
	for b.end == 0 {
		n, err := b.conn.Read(b.buf[b.w:])
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("bare reader: after %d of %d rows: %w", b.rows, b.want, err)
		}
		b.reads++
		b.w += n
		b.bytes += int64(n)
		if err := b.look(); err != nil {
			return fmt.Errorf("bare reader: %w", err)
		}
		if time.Since(b.spoken) > readerSpeaks {
			if err := b.speak(); err != nil {
				return fmt.Errorf("bare reader: %w", err)
			}
		}
		if b.nap > 0 && b.end == 0 {
			nap(b.nap)
		}
	}
	return nil
}

// look goes through the messages that have arrived whole.
func (b *bareReader) look() error {
	for b.w-b.r >= frameHeader {
		size := 1 + int(binary.BigEndian.Uint32(b.buf[b.r+1:]))
		if size > len(b.buf) {
			return fmt.Errorf("a message of %d bytes: none of these events is so large", size)
		}
		if b.w-b.r < size {
			break
		}
		if err := b.message(b.buf[b.r], b.buf[b.r+frameHeader:b.r+size]); err != nil {
			return err
		}
		b.r += size
	}
	b.w = copy(b.buf, b.buf[b.r:b.w])
	b.r = 0
	return nil
}

func (b *bareReader) message(kind byte, body []byte) error {
	switch {
	case kind == 'E':
		var e pgproto3.ErrorResponse
		if err := e.Decode(body); err != nil {
			return err
		}
		return pgconn.ErrorResponseToPgError(&e)
	case kind != 'd' || len(body) <= xlogHeader || body[0] != pglogrepl.XLogDataByteID:
		return nil // among them keepalives: it speaks often enough without being asked
	}
	switch message := body[xlogHeader:]; message[0] {
	case 'I': // insert
		b.rows++
	case 'C': // commit
		if b.rows >= b.want && len(message) >= commitEndAt+8 {
			b.end = outbox.LSN(binary.BigEndian.Uint64(message[commitEndAt:]))
		}
	}
	return nil
}

// speak tells the server that this reader lives and that nothing may be discarded: positions of zero.
func (b *bareReader) speak() error {
	status := make([]byte, statusMessage)
	status[0], status[frameHeader] = 'd', pglogrepl.StandbyStatusUpdateByteID
	binary.BigEndian.PutUint32(status[1:], statusMessage-1)
	b.spoken = time.Now()
	_, err := b.conn.Write(status)
	return err
}
