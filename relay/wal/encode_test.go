package wal

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// The other half of the codec: what a server sends. Written from the documentation's section "Logical Replication
// Message Formats", not from the decoder.

const outboxOID = 16_400

// announced are the columns in the order of the table in sql/orders.
var announced = []string{"seq", "id", "aggregatetype", "aggregateid", "type", "version", "payload", "headers", "occurred_at"}

func beginMessage(commit outbox.LSN, micros int64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'B'}, uint64(commit))
	b = binary.BigEndian.AppendUint64(b, uint64(micros))
	return binary.BigEndian.AppendUint32(b, 777) // transaction id
}

func commitMessage(lsn, end outbox.LSN) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'C', 0}, uint64(lsn))
	b = binary.BigEndian.AppendUint64(b, uint64(end))
	return binary.BigEndian.AppendUint64(b, 5) // commit time
}

func relationMessage(oid uint32, columns ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'R'}, oid)
	b = append(b, "public\x00outbox\x00d"...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
	for _, name := range columns {
		b = append(b, 1)
		b = append(b, name+"\x00"...)
		oid := uint32(pgtype.TextOID)
		switch name {
		case "payload":
			oid = pgtype.JSONOID
		case "occurred_at":
			oid = pgtype.TimestamptzOID
		}
		b = binary.BigEndian.AppendUint32(b, oid)
		b = append(b, 255, 255, 255, 255) // no modifier
	}
	return b
}

// insertMessage has NULL for nil.
func insertMessage(oid uint32, values ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'I'}, oid)
	b = binary.BigEndian.AppendUint16(append(b, 'N'), uint16(len(values)))
	for _, v := range values {
		if v == nil {
			b = append(b, 'n')
			continue
		}
		b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

// values of a row, in the order of announced.
func values(r outbox.Row) [][]byte {
	return [][]byte{r.Seq, r.ID, r.AggregateType, r.AggregateID, r.Type, r.Version, r.Payload, r.Headers, r.OccurredAt}
}

func exampleRow(n int) outbox.Row {
	text := func(name string) []byte { return fmt.Appendf(nil, "%s %d", name, n) }
	return outbox.Row{
		Seq: text("seq"), ID: text("id"), AggregateType: text("kind"), AggregateID: text("aggregate"), Type: text("type"),
		Version: text("version"), Payload: text("payload"), Headers: text("headers"), OccurredAt: text("time"),
	}
}

// frame is a message of the protocol.
func frame(kind byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(b, body...)
}

// xlog is a pgoutput message on its way in a CopyData message.
func xlog(message []byte) []byte { return xlogSent(time.Time{}, message) }

// xlogSent is one that the server sent at a time.
func xlogSent(at time.Time, message []byte) []byte {
	header := append([]byte{'w'}, make([]byte, 16)...)
	header = binary.BigEndian.AppendUint64(header, uint64(at.UnixMicro()-postgresTime(0).UnixMicro()))
	return frame('d', append(header, message...))
}

func keepalive(end outbox.LSN, asked bool) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'k'}, uint64(end))
	b = binary.BigEndian.AppendUint64(b, 5) // clock
	if asked {
		return frame('d', append(b, 1))
	}
	return frame('d', append(b, 0))
}
