-- Least privilege. What is not granted here is refused, and tests hold each refusal.
-- The login that migrates must be a superuser or a member of orders_owner.
ALTER TABLE customers OWNER TO orders_owner;
ALTER TABLE menu_items OWNER TO orders_owner;
ALTER TABLE orders OWNER TO orders_owner;
ALTER TABLE outbox OWNER TO orders_owner;
ALTER TABLE idempotency_keys OWNER TO orders_owner;

-- The writer adds events and never changes one, and cannot choose a seq. It deletes nothing.
GRANT SELECT ON customers, menu_items, orders, outbox, idempotency_keys TO orders_writer;
GRANT INSERT, UPDATE ON orders TO orders_writer;
GRANT INSERT (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at) ON outbox TO orders_writer;
GRANT INSERT ON idempotency_keys TO orders_writer;

-- The relay reads the outbox to recover from a lost slot and to check that its checkpoint belongs to this history.
GRANT SELECT ON outbox TO orders_relay;

-- The monitor sees the server's statistics and settings, and no rows. Granting pg_monitor takes more than CREATEROLE on
-- some hosted servers; without it the programs run as well, so it is not worth failing for.
DO $$
BEGIN
    IF NOT pg_has_role('pipeline_monitor', 'pg_monitor', 'MEMBER') THEN
        GRANT pg_monitor TO pipeline_monitor;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'pipeline_monitor was not made a member of pg_monitor: let a superuser GRANT pg_monitor TO pipeline_monitor';
    WHEN unique_violation OR internal_error THEN
        NULL; -- another database's migration was faster
END
$$;
