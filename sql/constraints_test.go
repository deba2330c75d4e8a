package sql_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// event is an outbox row, as text and times that a test may spoil.
type event struct {
	kind, typ, payload string
	headers            *string
	version            int
	at                 time.Time
}

const insertEvent = `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

func TestOutboxRefusesWhatCouldNotBePublished(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	cases := []struct {
		name  string
		spoil func(*event)
		want  string // the constraint, or "" if the row is taken
	}{
		{"a plain event", func(*event) {}, ""},
		{"headers of strings", func(e *event) { e.headers = text(`{"traceparent": "00-0af7-b7ad-01", "actor": ""}`) }, ""},
		{"a payload of the greatest size", func(e *event) { e.payload = object(524288) }, ""},
		{"a payload that is too large", func(e *event) { e.payload = object(524289) }, "outbox_payload_size"},
		{"a payload that is an array", func(e *event) { e.payload = `[1]` }, "outbox_payload_is_object"},
		{"a payload that is null", func(e *event) { e.payload = `null` }, "outbox_payload_is_object"},
		{"headers that are an array", func(e *event) { e.headers = text(`["a"]`) }, "outbox_headers_are_strings"},
		{"headers that are JSON null", func(e *event) { e.headers = text(`null`) }, "outbox_headers_are_strings"},
		{"a header that is a number", func(e *event) { e.headers = text(`{"a": "b", "c": 1}`) }, "outbox_headers_are_strings"},
		{"a header that is null", func(e *event) { e.headers = text(`{"a": null}`) }, "outbox_headers_are_strings"},
		{"a header that is a list of strings", func(e *event) { e.headers = text(`{"a": ["b"]}`) }, "outbox_headers_are_strings"},
		{"headers that are too large", func(e *event) { e.headers = text(object(16385)) }, "outbox_headers_size"},
		{"an event of a customer", func(e *event) { e.kind, e.typ = "customer", "customer.erased.v1" }, ""},
		{"another kind of aggregate", func(e *event) { e.kind = "invoice" }, "outbox_aggregatetype_known"},
		{"a type without a version", func(e *event) { e.typ = "order.placed" }, "outbox_type_shape"},
		{"a type with a line break", func(e *event) { e.typ = "order.placed.v1\n" }, "outbox_type_shape"},
		{"a type that is too long", func(e *event) { e.typ = "order." + strings.Repeat("x", 100) + ".v1" }, "outbox_type_shape"},
		{"version 0", func(e *event) { e.version = 0 }, "outbox_version_positive"},
		{"a time of five digits' year", func(e *event) { e.at = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "outbox_occurred_at_in_range"},
		{"a time before there were orders", func(e *event) { e.at = time.Time{} }, "outbox_occurred_at_in_range"},
	}
	url := testenv.Orders(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := event{kind: "order", typ: "order.placed.v1", payload: `{}`, version: 1, at: time.Now()}
			c.spoil(&e)
			_, err := connect(t, url).Exec(t.Context(), insertEvent,
				uuid.New(), e.kind, uuid.New(), e.typ, e.version, e.payload, e.headers, e.at)
			if got := constraint(err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func TestOutboxTakesOneEventPerVersion_I2(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.Orders(t))
	order, id := uuid.New(), uuid.New()
	insert := func(id, order uuid.UUID, version int) error {
		_, err := conn.Exec(t.Context(), insertEvent, id, "order", order, "order.placed.v1", version, "{}", nil, time.Now())
		return err
	}
	if err := insert(id, order, 1); err != nil {
		t.Fatal(err)
	}
	if got := constraint(insert(uuid.New(), order, 1)); got != "outbox_version_unique" {
		t.Errorf("a second event of version 1: got %q, want outbox_version_unique", got)
	}
	if got := constraint(insert(id, order, 2)); got != "outbox_id_unique" {
		t.Errorf("a second event of the same id: got %q, want outbox_id_unique", got)
	}
}

func TestPayloadKeepsItsBytes(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.Orders(t))
	const payload = `{ "b" : 1.50,"a":"é\u0041","a":null }`
	if _, err := conn.Exec(t.Context(), insertEvent,
		uuid.New(), "order", uuid.New(), "order.placed.v1", 1, payload, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT payload::text FROM outbox").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != payload {
		t.Errorf("got  %s\nwant %s", got, payload)
	}
}

func TestOrdersRefuseWhatNoOrderCanBe(t *testing.T) {
	t.Parallel()
	url := testenv.Orders(t)
	const insertOrder = `
INSERT INTO orders (id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at)
VALUES (gen_random_uuid(), `
	cases := map[string]string{ // the values, and the constraint that they break
		`1, 'placed', 'none', 1, 0, 'EUR', '{}', now(), now())`:    "",
		`101, 'placed', 'none', 1, 0, 'EUR', '{}', now(), now())`:  "orders_customer_exists",
		`1, 'lost', 'none', 1, 0, 'EUR', '{}', now(), now())`:      "orders_fulfilment_known",
		`1, 'placed', 'owed', 1, 0, 'EUR', '{}', now(), now())`:    "orders_payment_known",
		`1, 'placed', 'none', 0, 0, 'EUR', '{}', now(), now())`:    "orders_version_positive",
		`1, 'placed', 'none', 1, -1, 'EUR', '{}', now(), now())`:   "orders_total_not_negative",
		`1, 'placed', 'none', 1, 0, 'euro', '{}', now(), now())`:   "orders_currency_shape",
		`1, 'placed', 'none', 1, 0, 'EUR', '"{}"', now(), now())`:  "orders_state_is_object",
		`1, 'placed', 'none', 1, 0, 'EUR', 'null', now(), now())`:  "orders_state_is_object",
		`1, 'placed', 'none', 1, 0, 'E\nR', '{}', now(), now())`:   "orders_currency_shape",
		`NULL, 'placed', 'none', 1, 0, 'EUR', '{}', now(), now())`: "customer_id is NULL",
	}
	for values, want := range cases {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			_, err := connect(t, url).Exec(t.Context(), insertOrder+values)
			if got := constraint(err); got != want {
				t.Errorf("%s: got %q (%v), want %q", values, got, err, want)
			}
		})
	}
}

// constraint names what an error says was broken: a constraint, or a column that may not be NULL.
func constraint(err error) string {
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return ""
	case !ok:
		return err.Error()
	case e.Code == "23502":
		return e.ColumnName + " is NULL"
	case e.ConstraintName == "":
		return e.Message
	}
	return e.ConstraintName
}

// object is a JSON object of strings of the size in bytes.
func object(size int) string {
	const frame = `{"a":""}`
	return `{"a":"` + strings.Repeat("x", size-len(frame)) + `"}`
}
