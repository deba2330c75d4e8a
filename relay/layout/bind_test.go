package layout

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

func foreign(t *testing.T, more map[string]string) *Layout {
	t.Helper()
	config := registered()
	for name, value := range more {
		config["transforms.outbox."+name] = value
	}
	l, err := Connector(encoded(t, config))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fields are the columns of Debezium's outbox table, and more.
func fields() []Field {
	return []Field{
		{"id", pgtype.UUIDOID},
		{"aggregatetype", pgtype.VarcharOID},
		{"aggregateid", pgtype.VarcharOID},
		{"type", pgtype.VarcharOID},
		{"payload", pgtype.JSONBOID},
		{"tenant", pgtype.Int4OID},
		{"unrelated", pgtype.NumericOID},
	}
}

func bytesOf(values ...string) [][]byte {
	var all [][]byte
	for _, v := range values {
		if v == "NULL" {
			all = append(all, nil)
			continue
		}
		all = append(all, []byte(v))
	}
	return all
}

func TestRowHasEachValueInItsRoles(t *testing.T) {
	t.Parallel()
	l := foreign(t, nil)
	b, err := l.Bind("public.outbox", fields())
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Row(bytesOf("e1", "order", "o1", "Placed", `{"a": 1}`, "7", "3.14"))
	want := outbox.Row{
		ID: []byte("e1"), AggregateType: []byte("order"), AggregateID: []byte("o1"), Type: []byte("Placed"), Payload: []byte(`{"a": 1}`),
		Placed: bytesOf("Placed", "7"),
	}
	if diff := cmp.Diff(got, want); diff != "" || err != nil {
		t.Errorf("%v (-got +want):\n%s", err, diff)
	}
	got, err = b.Row(bytesOf("e2", "order", "o1", "NULL", "NULL", "NULL", "NULL"))
	want = outbox.Row{ID: []byte("e2"), AggregateType: []byte("order"), AggregateID: []byte("o1"), Placed: [][]byte{nil, nil}}
	if diff := cmp.Diff(got, want); diff != "" || err != nil {
		t.Errorf("with NULLs, %v (-got +want):\n%s", err, diff)
	}
	for i, name := range []string{"id", "aggregatetype", "aggregateid"} {
		values := bytesOf("e1", "order", "o1", "Placed", "{}", "7", "3.14")
		values[i] = nil
		row, err := b.Row(values)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Whole(row); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("NULL in %s: %v", name, err)
		}
	}
}

func TestColumnsAreFoundByTheNamesThatTheRouterIsGiven(t *testing.T) {
	t.Parallel()
	l := foreign(t, map[string]string{
		"table.field.event.id": "event_id", "table.field.event.key": "customer", "table.field.event.payload": "body",
		"table.field.event.timestamp": "at", "route.by.field": "kind", "table.fields.additional.placement": "customer:header:who",
	})
	l.bytesOnly = true
	b, err := l.Bind("t", []Field{
		{"at", pgtype.TimestampOID}, {"body", pgtype.ByteaOID}, {"customer", pgtype.Int8OID}, {"event_id", pgtype.Int8OID}, {"kind", firstOwnType},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Row(bytesOf("2026-11-27 01:02:03.5", `\x00ff41`, "7", "99", "order"))
	want := outbox.Row{
		ID: []byte("99"), AggregateType: []byte("order"), AggregateID: []byte("7"), Payload: []byte("\x00\xffA"), Content: outbox.Bytes,
		OccurredAt: []byte("2026-11-27 01:02:03.5+00"), Placed: bytesOf("7"),
	}
	if diff := cmp.Diff(got, want); diff != "" || err != nil {
		t.Errorf("%v (-got +want):\n%s", err, diff)
	}
	if _, err := b.Row(bytesOf("2026-11-27 01:02:03.5", `\000\377A`, "7", "99", "order")); err == nil || !strings.Contains(err.Error(), "body") {
		t.Errorf("a payload in the escape format: %v", err)
	}
}

// The text of other types is not what Debezium would write, or not the bytes that were stored.
func TestColumnOfATypeThatIsNotItsTextIsRefused(t *testing.T) {
	t.Parallel()
	for column, types := range map[string][]uint32{
		"payload": {pgtype.NumericOID, pgtype.TimestamptzOID, pgtype.JSONArrayOID, firstOwnType},
		"id":      {pgtype.TimestamptzOID, pgtype.ByteaOID, pgtype.BoolOID},
		"tenant":  {pgtype.DateOID, pgtype.NumericOID, pgtype.ByteaOID, pgtype.BoolOID, pgtype.TimestampOID},
	} {
		for _, oid := range types {
			changed := fields()
			for i := range changed {
				if changed[i].Name == column {
					changed[i].Type = oid
				}
			}
			if _, err := foreign(t, nil).Bind("public.outbox", changed); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("column %q of table public.outbox", column)) {
				t.Errorf("%s of type %d: %v", column, oid, err)
			}
		}
	}
}

// BinaryDataConverter writes a bytea as it is, and hands anything else to another converter.
func TestConverterOfBytesTakesBytesAlone(t *testing.T) {
	t.Parallel()
	config := registered()
	config["value.converter"] = "io.debezium.converters.BinaryDataConverter"
	config["value.converter.delegate.converter.type"] = "org.apache.kafka.connect.json.JsonConverter"
	l, err := Connector(encoded(t, config))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Bind("t", fields()); !errors.Is(err, ErrTable) {
		t.Errorf("jsonb: %v", err)
	}
	binary := fields()
	binary[4].Type = pgtype.ByteaOID
	if _, err := l.Bind("t", binary); err != nil {
		t.Errorf("bytea: %v", err)
	}
}

func TestTypeIsNotNeeded(t *testing.T) {
	t.Parallel()
	l := foreign(t, map[string]string{"table.fields.additional.placement": "tenant:header"})
	b, err := l.Bind("t", append(fields()[:3:3], fields()[4:]...))
	if err != nil {
		t.Fatal(err)
	}
	if row, err := b.Row(bytesOf("e", "k", "a", "{}", "1", "NULL")); err != nil || row.Type != nil {
		t.Errorf("got %+v, %v", row, err)
	}
}
