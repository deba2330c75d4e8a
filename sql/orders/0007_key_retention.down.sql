REVOKE DELETE ON idempotency_keys FROM orders_writer;
DROP INDEX idempotency_keys_created_at;
