package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// decoder reads pgoutput messages, protocol version 1 (PostgreSQL documentation, section "Logical Replication Message
// Formats"). Every length is checked against what has arrived: a message that lies about one is an error, never a panic
// and never an allocation of the claimed size.
type decoder struct {
	layout *layout.Layout
	tables map[uint32]*table // by relation id, as announced on this connection
	arena  arena
	values [][]byte // of the tuple that is decoded
}

// table is a published table as it was announced.
type table struct {
	*layout.Binding

	name string
}

// begin is the start of a transaction. It does not know the transaction's end LSN; only the commit does.
type begin struct {
	commit outbox.LSN
	time   time.Time
}

// commit is the end of a transaction.
type commit struct {
	lsn outbox.LSN // the start of the commit record: the same as begin.commit
	end outbox.LSN // the first byte behind the commit record: what may be acknowledged
}

var errTruncated = errors.New("truncated")

func (d *decoder) begin(b []byte) (begin, error) {
	c := cursor{b: b}
	m := begin{commit: outbox.LSN(c.uint64()), time: postgresTime(c.uint64())}
	c.uint32() // transaction id
	return m, c.done("begin")
}

func (d *decoder) commit(b []byte) (commit, error) {
	c := cursor{b: b}
	c.byte() // flags, unused
	m := commit{lsn: outbox.LSN(c.uint64()), end: outbox.LSN(c.uint64())}
	c.uint64() // commit time, known since begin
	return m, c.done("commit")
}

// relation remembers a table's columns. It comes before the first row of the table and after every change to it, so that
// a column added or dropped under a running stream is never mistaken for another.
func (d *decoder) relation(b []byte) error {
	c := cursor{b: b}
	oid := c.uint32()
	schema, name := c.string(), c.string()
	c.byte() // replica identity
	var fields []layout.Field
	for range c.uint16() {
		c.byte() // flags: part of the key
		f := layout.Field{Name: c.string(), Type: c.uint32()}
		c.uint32() // type modifier
		if c.short {
			break
		}
		fields = append(fields, f)
	}
	t := &table{name: schema + "." + name}
	if err := c.done("relation " + t.name); err != nil {
		return err
	}
	var err error
	if t.Binding, err = d.layout.Bind(t.name, fields); err != nil {
		return err
	}
	if d.tables == nil {
		d.tables = make(map[uint32]*table)
	}
	d.tables[oid] = t
	return nil
}

// insert decodes one row. Its fields are copied out of b into the arena.
func (d *decoder) insert(b []byte) (outbox.Row, error) {
	c := cursor{b: b}
	oid := c.uint32()
	if kind := c.byte(); kind != 'N' && !c.short {
		return outbox.Row{}, fmt.Errorf("insert: tuple of kind %q, want a new one", kind)
	}
	t := d.tables[oid]
	if t == nil {
		return outbox.Row{}, fmt.Errorf("insert into relation %d, which was not announced", oid)
	}
	n := int(c.uint16())
	if n != t.Len() && !c.short {
		return outbox.Row{}, fmt.Errorf("insert into %s: %d columns, want %d as announced", t.name, n, t.Len())
	}
	c.b = d.arena.copy(c.b)
	d.values = d.values[:0]
	for range n {
		v, err := c.value()
		if err != nil {
			return outbox.Row{}, fmt.Errorf("insert into %s: %w", t.name, err)
		}
		d.values = append(d.values, v)
	}
	if err := c.done("insert into " + t.name); err != nil {
		return outbox.Row{}, err
	}
	return t.Row(d.values)
}

// cursor reads fields from the front of b. After the first field that is not all there, short stays set and every
// field reads as zero.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) { // negative: a length above 2 GiB where int has 32 bits
		c.short, c.b = true, nil
		return nil
	}
	head := c.b[:n:n]
	c.b = c.b[n:]
	return head
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// string reads up to a zero byte.
func (c *cursor) string() string {
	for i, b := range c.b {
		if b == 0 {
			return string(c.take(i + 1)[:i])
		}
	}
	c.short, c.b = true, nil
	return ""
}

// value reads one column of a tuple: nil for NULL, never nil for a text.
func (c *cursor) value() ([]byte, error) {
	switch kind := c.byte(); {
	case c.short:
		return nil, errTruncated
	case kind == 'n':
		return nil, nil
	case kind == 't':
		v := c.take(int(c.uint32()))
		if c.short {
			return nil, errTruncated
		}
		return v, nil
	default:
		return nil, fmt.Errorf("column value of kind %q, want text or NULL", kind)
	}
}

func (c *cursor) done(what string) error {
	switch {
	case c.short:
		return fmt.Errorf("%s: %w", what, errTruncated)
	case len(c.b) > 0:
		return fmt.Errorf("%s: %d bytes too many", what, len(c.b))
	}
	return nil
}

// arena hands out copies from a block, so that a row costs no allocation of its own. What does not fit begins a larger one;
// the one before lives as long as its rows do.
type arena struct {
	block []byte
}

const arenaBlock = 64 << 10

func (a *arena) copy(b []byte) []byte {
	if len(b) > cap(a.block)-len(a.block) {
		a.block = make([]byte, 0, max(arenaBlock, min(2*cap(a.block), chunkBytes), len(b)))
	}
	from := len(a.block)
	a.block = append(a.block, b...)
	return a.block[from:len(a.block):len(a.block)]
}

// adopt copies a row from another block.
func (a *arena) adopt(r outbox.Row) outbox.Row {
	for _, field := range []*[]byte{
		&r.Seq, &r.ID, &r.AggregateType, &r.AggregateID, &r.Type, &r.Version, &r.Payload, &r.Headers, &r.OccurredAt,
	} {
		if *field != nil { // NULL stays NULL
			*field = a.copy(*field)
		}
	}
	for i, v := range r.Placed { // the slice is the row's own
		if v != nil {
			r.Placed[i] = a.copy(v)
		}
	}
	return r
}

// postgresTime turns microseconds since 2000-01-01 into a time.
func postgresTime(micros uint64) time.Time {
	const epoch = 946_684_800 // 2000-01-01 in Unix seconds
	return time.UnixMicro(epoch*1_000_000 + int64(micros)).UTC()
}
