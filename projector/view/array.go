package view

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// array is one column of rows, as unnest takes it.
//
// On connections of ConnectTo it is encoded as a whole. Elsewhere, and if its elements are of a type that is not here, pgx does it: an
// interface, and often an allocation, for each value, which took a quarter of the program's time.
type array[C any] []C

// Dimensions, Index and IndexType implement pgtype.ArrayGetter, for pgx.

func (a array[C]) Dimensions() []pgtype.ArrayDimension { return pgtype.FlatArray[C](a).Dimensions() }
func (a array[C]) Index(i int) any                     { return a[i] }
func (a array[C]) IndexType() any                      { return pgtype.FlatArray[C](a).IndexType() }

// as reports whether the values are encoded here, as elements of a type.
func (array[C]) as(element uint32) bool {
	switch any((*C)(nil)).(type) {
	case *int32:
		return element == pgtype.Int4OID
	case *int64:
		return element == pgtype.Int8OID
	case *string:
		return element == pgtype.TextOID || element == pgtype.JSONOID
	case *[]byte:
		return element == pgtype.JSONOID
	case *uuid.UUID:
		return element == pgtype.UUIDOID
	case *time.Time:
		return element == pgtype.TimestamptzOID
	}
	return false
}

// Postgres counts the microseconds from the year 2000 on.
const y2000 = 946_684_800_000_000

// encode appends the array in Postgres's binary format (its source, array_recv): dimensions, whether there are nulls, the elements' type,
// length and lower bound, then each value behind its length.
func (a array[C]) encode(element uint32, b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 1, 0, 0, 0, 0), element)
	b = binary.BigEndian.AppendUint32(b, uint32(len(a))) //nolint:gosec // a batch is not that large
	b = append(b, 0, 0, 0, 1)
	size := a.size()
	b = slices.Grow(b, size+size/2) // those of the statement's other columns find room
	for i := range a {
		b = appendValue(b, &a[i])
	}
	return b
}

// size is about how many bytes the values take.
func (a array[C]) size() (n int) {
	switch all := any(a).(type) {
	case array[string]:
		for _, text := range all {
			n += len(text)
		}
	case array[[]byte]:
		for _, bytes := range all {
			n += len(bytes)
		}
	default:
		n = 8 * len(a)
	}
	return n + 4*len(a)
}

// appendValue appends a value of a type that as knows. A pointer goes into an interface without an allocation.
func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case *int32:
		b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), uint32(*v)) //nolint:gosec // its bits
	case *int64:
		b = binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(*v)) //nolint:gosec // its bits
	case *time.Time:
		b = binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(v.UnixMicro()-y2000)) //nolint:gosec // its bits
	case *uuid.UUID:
		b = append(append(b, 0, 0, 0, 16), v[:]...)
	case *[]byte:
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(*v))), *v...) //nolint:gosec // a value is not that large
	case *string:
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(*v))), *v...) //nolint:gosec // a value is not that large
	}
	return b
}

// encoded is an array of any type.
type encoded interface {
	as(element uint32) bool
	encode(element uint32, b []byte) []byte
}

// arrays are the types whose arrays are encoded here.
var arrays = []string{"_int4", "_int8", "_text", "_json", "_uuid", "_timestamptz"}

// arrayCodec is pgx's codec of an array type, but for the arrays that encode themselves.
type arrayCodec struct{ *pgtype.ArrayCodec }

func registerArrays(_ context.Context, conn *pgx.Conn) error {
	for _, name := range arrays {
		t, known := conn.TypeMap().TypeForName(name)
		if !known {
			return fmt.Errorf("pgx does not know the type %s", name)
		}
		codec, is := t.Codec.(*pgtype.ArrayCodec)
		if !is {
			return fmt.Errorf("pgx has another codec for the type %s", name)
		}
		conn.TypeMap().RegisterType(&pgtype.Type{Name: name, OID: t.OID, Codec: arrayCodec{codec}})
	}
	return nil
}

// PlanEncode implements pgtype.Codec.
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if a, is := value.(encoded); is && format == pgtype.BinaryFormatCode && a.as(c.ElementType.OID) {
		return arrayPlan{c.ElementType.OID}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// arrayPlan encodes arrays of elements of a type.
type arrayPlan struct{ element uint32 }

// Encode implements pgtype.EncodePlan.
func (p arrayPlan) Encode(value any, b []byte) ([]byte, error) {
	return value.(encoded).encode(p.element, b), nil //nolint:forcetypeassert // PlanEncode has looked
}
