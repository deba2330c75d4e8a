package view

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// The same bytes as pgx's own codec, and taken for the types of which it is said.
func TestArraysAreEncodedAsPgxDoes(t *testing.T) {
	t.Parallel()
	encodes(t, "_int4", int32(0), math.MinInt32, math.MaxInt32, -1)
	encodes(t, "_int8", int64(0), math.MinInt64, math.MaxInt64, -1)
	encodes(t, "_text", "", "a", "ä€😀", strings.Repeat("long", 10_000), `"\{},NULL`)
	encodes(t, "_json", "{}", `{"a": [1, "\u00e4"]}`)
	encodes(t, "_json", []byte("{}"), []byte(`["b"]`))
	encodes(t, "_uuid", uuid.Nil, uuid.Max, uuid.New())
	encodes(t, "_timestamptz", time.Unix(0, 0), time.Date(1999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(2000, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 9, 0, 0, 123_456_789, time.FixedZone("", 3600)))
}

func encodes[C any](t *testing.T, name string, values ...C) {
	t.Helper()
	m := pgtype.NewMap()
	kind, known := m.TypeForName(name)
	if !known {
		t.Fatal(name)
	}
	codec := arrayCodec{kind.Codec.(*pgtype.ArrayCodec)} //nolint:forcetypeassert // or the test fails
	for _, some := range [][]C{values, values[:1], {}} {
		a := array[C](some)
		plan := codec.PlanEncode(m, kind.OID, pgtype.BinaryFormatCode, a)
		if _, own := plan.(arrayPlan); !own {
			t.Errorf("%s of %T is not encoded here", name, some)
			return
		}
		got, err := plan.Encode(a, []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{}
		var plain any = pgtype.FlatArray[C](some)
		if all, is := any(some).([][]byte); is { // pgx takes them for text in the array's place
			for _, one := range all {
				texts = append(texts, string(one))
			}
			plain = pgtype.FlatArray[string](texts)
		}
		want, err := pgtype.NewMap().Encode(kind.OID, pgtype.BinaryFormatCode, plain, []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s of %v:\n%x, pgx has\n%x", name, some, got, want)
		}
	}
}

// What is not known here, and nulls with it, goes to pgx.
func TestOtherArraysAreLeftToPgx(t *testing.T) {
	t.Parallel()
	one := int32(1)
	for name, value := range map[string]any{
		"_int4": array[*int32]{&one, nil}, "_int8": array[int32]{1}, "_uuid": array[pgtype.UUID]{{}}, "_text": []string{"a"},
	} {
		m := pgtype.NewMap()
		kind, _ := m.TypeForName(name)
		codec := arrayCodec{kind.Codec.(*pgtype.ArrayCodec)} //nolint:forcetypeassert // or the test fails
		plan := codec.PlanEncode(m, kind.OID, pgtype.BinaryFormatCode, value)
		if _, own := plan.(arrayPlan); own {
			t.Errorf("%s of %T is encoded here", name, value)
		}
	}
}
