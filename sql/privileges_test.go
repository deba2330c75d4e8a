package sql_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

const (
	event1 = `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
VALUES (gen_random_uuid(), 'order', gen_random_uuid(), 'order.placed.v1', 1, '{}', now())`
	order1 = `
INSERT INTO orders (id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at)
VALUES (gen_random_uuid(), 1, 'placed', 'none', 1, 0, 'EUR', '{}', now(), now())`
	key1 = `
INSERT INTO idempotency_keys (key, request_hash, order_id, version)
VALUES ('k', decode(repeat('00', 32), 'hex'), gen_random_uuid(), 1)`
	erased1 = `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
VALUES (gen_random_uuid(), 'customer', gen_random_uuid(), 'customer.erased.v1', 1, '{}', now())`
	slot1 = `SELECT pg_create_logical_replication_slot('refused', 'pgoutput')`
)

// Each role does what its program needs; of what it may not do, each line is a harm that a leaked password could cause.
func TestRolesMayDoTheirWorkAndNothingElse(t *testing.T) {
	t.Parallel()
	cases := []struct {
		role    string
		fresh   func(testing.TB) string
		may     []string
		mustNot []string
	}{
		{
			role: "orders_writer", fresh: testenv.Orders,
			may: []string{
				order1, event1, key1, "UPDATE orders SET version = 2", "SELECT * FROM orders FOR UPDATE", "SELECT * FROM outbox",
				"SELECT * FROM customers, menu_items, idempotency_keys, schema_migrations", "DELETE FROM idempotency_keys",
				"SELECT * FROM customer_details", "UPDATE customers SET erased_at = now()", "SELECT id FROM customers FOR SHARE",
				erased1, "DELETE FROM customer_details",
			},
			mustNot: []string{
				"UPDATE outbox SET payload = '{}'", "DELETE FROM outbox", "TRUNCATE outbox", "DELETE FROM orders", "TRUNCATE orders",
				"INSERT INTO outbox (seq) OVERRIDING SYSTEM VALUE VALUES (1)", "SELECT setval('outbox_seq_seq', 1)",
				"UPDATE idempotency_keys SET version = 9", "TRUNCATE idempotency_keys", "UPDATE customers SET id = 9000",
				"DELETE FROM customers", "INSERT INTO customers (id) VALUES (9000)", "TRUNCATE customer_details",
				"INSERT INTO customer_details (customer_id, name, email, address) VALUES (1, 'x', 'x', 'x')",
				"UPDATE customer_details SET name = 'x'",
				"UPDATE menu_items SET price_minor = 1", "UPDATE schema_migrations SET version = 1", "CREATE TABLE mine ()",
				"ALTER TABLE outbox DROP CONSTRAINT outbox_version_unique", "DROP PUBLICATION outbox", slot1,
			},
		},
		{
			role: "orders_relay", fresh: testenv.Orders,
			may: []string{
				"SELECT * FROM outbox", "SELECT version FROM schema_migrations", "SELECT * FROM pg_replication_slots",
				"INSERT INTO relay_pauses (slot, reason) VALUES ('s', 'why')", "SELECT * FROM relay_pauses", "DELETE FROM relay_pauses",
			},
			mustNot: []string{
				event1, "UPDATE outbox SET payload = '{}'", "DELETE FROM outbox", "SELECT * FROM orders", "SELECT * FROM customers",
				"SELECT * FROM customer_details", "SELECT * FROM idempotency_keys", "CREATE TABLE mine ()", "ALTER PUBLICATION outbox SET (publish = 'delete')",
				"UPDATE relay_pauses SET reason = 'another'",
				slot1, // as a group: a login needs REPLICATION of its own
			},
		},
		{
			role: "pipeline_monitor", fresh: testenv.Orders,
			may: []string{"SELECT * FROM pg_stat_replication", "SELECT * FROM pg_ls_waldir()", "SELECT version FROM schema_migrations"},
			mustNot: []string{
				event1, "SELECT * FROM outbox", "SELECT * FROM orders", "SELECT * FROM customers", "SELECT * FROM customer_details",
				"CREATE TABLE mine ()", slot1,
			},
		},
		{
			role: "readmodel_projector", fresh: testenv.ReadModel,
			may: []string{
				"SELECT * FROM projection_offsets FOR UPDATE", "UPDATE order_summary SET version = 1", "DELETE FROM kitchen_board",
				"SELECT version FROM schema_migrations", "SELECT read_model_begin()", "UPDATE rebuild.projection_offsets SET next_offset = 1",
				"SELECT read_model_swap('rebuild')", "UPDATE former.order_summary SET version = 1", "SELECT read_model_drop('former')",
				"UPDATE dead_letters SET state = 'redriven', settled_at = now()",
			},
			mustNot: []string{
				"DELETE FROM projection_offsets", "UPDATE order_timeline SET version = 1", "DELETE FROM order_timeline",
				"TRUNCATE order_summary", "CREATE TABLE mine ()", "UPDATE schema_migrations SET version = 1",
				"SELECT read_model_move('public', 'pg_temp')", "CREATE SCHEMA rebuild", "DELETE FROM dead_letters", "DELETE FROM cut_overs",
			},
		},
		{
			role: "readmodel_reader", fresh: testenv.ReadModel,
			may: []string{"SELECT * FROM order_summary", "SELECT * FROM revenue_minute", "SELECT version FROM schema_migrations"},
			mustNot: []string{
				"UPDATE order_summary SET version = 1", "DELETE FROM kitchen_board", "INSERT INTO order_timeline DEFAULT VALUES",
				"SELECT read_model_begin()", "SELECT read_model_swap('former')", "SELECT read_model_drop('former')",
				"SELECT * FROM order_summary FOR UPDATE", "CREATE TABLE mine ()",
			},
		},
	}
	for _, c := range cases {
		t.Run(c.role, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, c.fresh(t))
			if _, err := conn.Exec(t.Context(), "SET ROLE "+c.role); err != nil {
				t.Fatal(err)
			}
			for _, statement := range c.may {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Errorf("may %s: %v", statement, err)
				}
			}
			for _, statement := range c.mustNot {
				_, err := conn.Exec(t.Context(), statement)
				if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "42501" {
					t.Errorf("must not %s: got %v, want SQLSTATE 42501", statement, err)
				}
			}
		})
	}
}

// Who may read every table for his work, as the auditor may, has no business with who a customer is.
func TestWhoReadsAllDataSeesNoPerson(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.Orders(t))
	for role, want := range map[string]int{"pg_read_all_data": 0, "orders_writer": 100, "orders_owner": 100} {
		if _, err := conn.Exec(t.Context(), "SET ROLE "+role); err != nil {
			t.Fatal(err)
		}
		var customers, people int
		err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM public.customers), (SELECT count(*) FROM public.customer_details)").Scan(&customers, &people)
		if err != nil || customers != 100 || people != want {
			t.Errorf("%s sees %d customers and %d people, %v; want 100 and %d", role, customers, people, err, want)
		}
	}
}

func TestWhoHasNoRoleReachesNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t, testenv.Orders(t))
	role := testenv.Name(t)
	for _, statement := range []string{"CREATE ROLE " + role, "SET ROLE " + role} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err := conn.Exec(t.Context(), "SELECT * FROM public.menu_items")
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "42501" {
		t.Errorf("a role without grants reads the menu: got %v, want SQLSTATE 42501", err)
	}
	if _, err := conn.Exec(t.Context(), "RESET ROLE; DROP ROLE "+role); err != nil {
		t.Error(err)
	}
}
