-- pg_monitor stays granted: the role belongs to the cluster, and other databases may rely on it.
REVOKE ALL ON customers, menu_items, orders, outbox, idempotency_keys FROM orders_writer, orders_relay, pipeline_monitor;
ALTER TABLE idempotency_keys OWNER TO CURRENT_USER;
ALTER TABLE outbox OWNER TO CURRENT_USER;
ALTER TABLE orders OWNER TO CURRENT_USER;
ALTER TABLE menu_items OWNER TO CURRENT_USER;
ALTER TABLE customers OWNER TO CURRENT_USER;
