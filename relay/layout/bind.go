package layout

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// ErrTable means that a table is not as the layout says.
var ErrTable = errors.New("the table is not as the outbox was described")

// Field is a column as the server announces it.
type Field struct {
	Name string
	Type uint32 // the OID of its type
}

// Binding reads the rows of a table whose columns are known. It is for one goroutine.
type Binding struct {
	table   string
	layout  *Layout
	roles   [][]role // by column
	names   [roles]string
	must    []role // those that may not be NULL; of another's tables, it depends on where the row goes, see Layout.Whole
	bytea   bool   // the payload is
	zoned   bool   // the time has its zone
	content outbox.Content
}

// Bind finds the layout's columns in a table's.
func (l *Layout) Bind(table string, fields []Field) (*Binding, error) {
	b := &Binding{table: table, layout: l, roles: make([][]role, len(fields)), zoned: true}
	for _, c := range l.columns {
		at := -1
		for i, f := range fields {
			if f.Name == c.name {
				at = i
			}
		}
		switch {
		case at < 0 && c.optional:
			continue
		case at < 0:
			return nil, fmt.Errorf("%w: table %s is published without the column %q: it is not an outbox, or the column was dropped or renamed", ErrTable, table, c.name)
		}
		if err := b.accept(c, fields[at].Type); err != nil {
			return nil, err
		}
		b.roles[at] = append(b.roles[at], c.role)
		if c.role < roles {
			b.names[c.role] = c.name
			if !c.nullable && l.Own {
				b.must = append(b.must, c.role)
			}
		}
	}
	return b, nil
}

// firstOwnType is the lowest OID of a type that a user made: an enumeration mostly, whose text is its value.
const firstOwnType = 16384

// accept looks at a column's type. What is written into a record is the text that Postgres sends, or for bytea what the text
// stands for; Debezium writes the same for these types, and something else for others: for a date, the number of days.
func (b *Binding) accept(c column, oid uint32) error {
	switch c.role {
	case payload:
		if b.layout.bytesOnly != (oid == pgtype.ByteaOID) { // other converters write a bytea in a form of their own
			return b.refuse(c, oid, "bytea with BinaryDataConverter or ByteArrayConverter, or json, jsonb, text or varchar with another value.converter")
		}
		switch oid {
		case pgtype.JSONOID, pgtype.JSONBOID:
			b.content = outbox.JSON
		case pgtype.TextOID, pgtype.VarcharOID:
			b.content = outbox.Text
		case pgtype.ByteaOID:
			b.content, b.bytea = outbox.Bytes, true
		default:
			return b.refuse(c, oid, "json, jsonb, text, varchar or bytea")
		}
	case occurredAt:
		switch oid {
		case pgtype.TimestamptzOID:
		case pgtype.TimestampOID:
			b.zoned = false
		default:
			return b.refuse(c, oid, "timestamp or timestamptz")
		}
	default:
		switch oid {
		case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.UUIDOID, pgtype.JSONOID, pgtype.JSONBOID,
			pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		default:
			if oid < firstOwnType {
				return b.refuse(c, oid, "text, varchar, char, uuid, an integer, json, jsonb or an enumeration")
			}
		}
	}
	return nil
}

func (b *Binding) refuse(c column, oid uint32, want string) error {
	name := fmt.Sprintf("the OID %d", oid)
	if t, known := types.TypeForOID(oid); known {
		name = t.Name
	}
	return fmt.Errorf("%w: column %q of table %s has the type %s, want %s", ErrTable, c.name, b.table, name, want)
}

var types = pgtype.NewMap()

// Len is the number of columns of a row.
func (b *Binding) Len() int { return len(b.roles) }

// Row makes a row of a tuple's values, as text; nil is NULL. The row's fields are in the values' memory, which may be
// written to.
func (b *Binding) Row(values [][]byte) (outbox.Row, error) {
	var by [roles][]byte
	var own [][]byte
	if n := len(b.layout.placed); n > 0 {
		own = make([][]byte, n)
	}
	for i, v := range values {
		for _, r := range b.roles[i] {
			if r < roles {
				by[r] = v
			} else {
				own[r-placed] = v
			}
		}
	}
	for _, r := range b.must {
		if by[r] == nil {
			return outbox.Row{}, fmt.Errorf("insert into %s: column %q is NULL: the outbox's NOT NULL constraints were removed", b.table, b.names[r])
		}
	}
	row := outbox.Row{
		Seq: by[seq], ID: by[id],
		AggregateType: by[aggregateType], AggregateID: by[aggregateID],
		Type: by[eventType], Version: by[version],
		Payload: by[payload], Headers: by[headers], OccurredAt: by[occurredAt],
		Placed: own, Content: b.content,
	}
	if b.bytea && row.Payload != nil {
		var err error
		if row.Payload, err = unhex(row.Payload); err != nil {
			return outbox.Row{}, fmt.Errorf("%w: insert into %s: column %q: %w", ErrTable, b.table, b.names[payload], err)
		}
	}
	if !b.zoned && row.OccurredAt != nil {
		row.OccurredAt = append(row.OccurredAt[:len(row.OccurredAt):len(row.OccurredAt)], "+00"...) // as Debezium takes it: UTC
	}
	return row, nil
}

// unhex decodes Postgres's hex format of a bytea in place (Postgres, Binary Data Types, section 8.4.1).
func unhex(text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return nil, errors.New("it is not in the hex format")
	}
	n, err := hex.Decode(text, text[2:])
	return text[:n], err
}
